package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
)

// The emulator gives a container the newest value of a secret even where its definition pins a version of it. A pinned
// value is therefore handed over as an override of the task's environment, marked so that no answer tells it.

const (
	// pinMark is the field of an overriding variable that says that it is a pinned secret.
	pinMark = "pinned"
	// secretsRefused begins what ECS says of a task whose secrets cannot be read.
	secretsRefused = "ResourceInitializationError: unable to pull secrets or registry auth: "
)

// reference is where a container's variable comes from: ARN:json-key:version-stage:version-id, of which the last three
// may be absent or empty.
type reference struct{ secret, key, stage, version string }

// parseReference also tells whether it pins a version of a secret.
func parseReference(text string) (r reference, pinned bool) {
	a, err := arn.Parse(text)
	if err != nil || a.Service != "secretsmanager" {
		return r, false
	}
	parts := append(strings.Split(a.Resource, ":"), "", "", "", "") // secret:NAME, and what was left out
	a.Resource = parts[0] + ":" + parts[1]
	r = reference{a.String(), parts[2], parts[3], parts[4]}
	return r, r.stage != "" || r.version != ""
}

// pin adds the pinned secrets of a task definition to the parameters of a RunTask. Where one cannot be read the task gets
// a command that cannot start, which is the reason. An error means that the emulator did not answer.
func (s *scheduler) pin(ctx context.Context, in map[string]any) (changed bool, err error) {
	var out struct {
		TaskDefinition struct {
			ContainerDefinitions []struct {
				Name    string
				Secrets []struct{ Name, ValueFrom string }
			}
		}
	}
	var refused *apiError
	err = s.api.ecs(ctx, "DescribeTaskDefinition", map[string]any{"taskDefinition": in["taskDefinition"]}, &out)
	if errors.As(err, &refused) {
		return false, nil // the emulator knows the right error for RunTask, too
	}
	if err != nil {
		return false, err
	}
	containers := out.TaskDefinition.ContainerDefinitions
	for _, c := range containers {
		for _, variable := range c.Secrets {
			ref, pinned := parseReference(variable.ValueFrom)
			if !pinned {
				continue
			}
			value, err := s.api.secret(ctx, ref)
			if errors.As(err, &refused) {
				reason := fmt.Sprintf("%sexecution resource retrieval failed: failed to fetch secret %s from secrets manager: %s: %s",
					secretsRefused, ref.secret, refused.Code, refused.Message)
				override(in, containers[0].Name)["command"] = []any{reason} // of the first: then none starts
				return true, nil
			}
			if err != nil {
				return false, err
			}
			one := override(in, c.Name)
			list, _ := one["environment"].([]any)
			if !slices.ContainsFunc(list, func(v any) bool { return field(v, "name") == variable.Name }) { // or the caller's holds
				one["environment"] = append(list, map[string]any{"name": variable.Name, "value": value, pinMark: true})
				changed = true
			}
		}
	}
	return changed, nil
}

// secret reads a version of a secret, or a key of it.
func (a *awsAPI) secret(ctx context.Context, ref reference) (string, error) {
	in := map[string]string{"SecretId": ref.secret, "VersionStage": ref.stage, "VersionId": ref.version}
	maps.DeleteFunc(in, func(_, value string) bool { return value == "" })
	var out struct{ SecretString string }
	if err := a.json(ctx, "secretsmanager", "secretsmanager.GetSecretValue", in, &out); err != nil || ref.key == "" {
		return out.SecretString, err
	}
	var keys map[string]any
	_ = json.Unmarshal([]byte(out.SecretString), &keys) // no JSON, no keys; an error would quote the secret
	value, ok := keys[ref.key]
	if !ok {
		return "", &apiError{Code: "ResourceInitializationError", Message: "retrieved secret did not contain json key " + ref.key}
	}
	return fmt.Sprint(value), nil
}

// override finds the part of a RunTask's parameters that is about a container, or adds it.
func override(in map[string]any, container string) map[string]any {
	all, ok := in["overrides"].(map[string]any)
	if !ok {
		all = map[string]any{}
		in["overrides"] = all
	}
	list, _ := all["containerOverrides"].([]any)
	for _, item := range list {
		if field(item, "name") == container {
			return item.(map[string]any)
		}
	}
	one := map[string]any{"name": container}
	all["containerOverrides"] = append(list, one)
	return one
}

// unpin takes what pin added out of a task that is told, and returns why its secrets could not be read, if so.
func unpin(task map[string]any) (reason string) {
	all, _ := task["overrides"].(map[string]any)
	list, _ := all["containerOverrides"].([]any)
	kept := slices.DeleteFunc(list, func(item any) bool {
		one, _ := item.(map[string]any)
		before := len(one)
		if command, _ := one["command"].([]any); len(command) == 1 && strings.HasPrefix(fmt.Sprint(command[0]), secretsRefused) {
			reason = fmt.Sprint(command[0])
			delete(one, "command")
		}
		variables, _ := one["environment"].([]any)
		if own := slices.DeleteFunc(variables, func(v any) bool { return field(v, pinMark) == true }); len(own) > 0 {
			one["environment"] = own
		} else {
			delete(one, "environment")
		}
		return before > 1 && len(one) == 1 // its name is all that is left
	})
	if all != nil {
		all["containerOverrides"] = kept
	}
	return reason
}

// field is a field of a JSON object, nil where there is none.
func field(object any, name string) any {
	fields, _ := object.(map[string]any)
	return fields[name]
}
