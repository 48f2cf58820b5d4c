// Package testkit is what tests share: a Pulumi engine that only notes what a
// program declares, and ways to look at what a program says.
package testkit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// Stack is what the engine would hand to the program.
type Stack struct {
	Project, Name string
	Config        map[string]string // by full key
	Secrets       []string          // full keys whose values are secret
}

// Resource is one resource as it was declared.
type Resource struct {
	Type, Name string
	Inputs     map[string]any // plain, secrets opened
	Secret     []string       // paths of inputs that are secret
	Options    *pulumirpc.RegisterResourceRequest
}

// Program is everything that a program declared, by name.
type Program map[string]*Resource

// Run runs the program and returns what it declared; also after an error.
func Run(stack Stack, program pulumi.RunFunc) (Program, error) {
	m := &monitor{found: Program{}, stack: stack}
	err := pulumi.RunErr(program, pulumi.WithMocks(stack.Project, stack.Name, m), func(info *pulumi.RunInfo) {
		info.Config, info.ConfigSecretKeys = stack.Config, stack.Secrets
	})
	return m.found, err
}

// Names lists the names of the resources of a type, sorted.
func (p Program) Names(typ string) []string {
	var names []string
	for name, r := range p {
		if r.Type == typ {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Needs says whether one resource waits for another, directly or through others.
func (p Program) Needs(name, other string) bool {
	seen := map[string]bool{}
	var visit func(name string) bool
	visit = func(name string) bool {
		if seen[name] || p[name] == nil {
			return false
		}
		seen[name] = true
		for _, dep := range p[name].waitsFor() {
			if dep == other || visit(dep) {
				return true
			}
		}
		return false
	}
	return visit(name)
}

// waitsFor gives the names of what the resource names as dependency or uses as provider.
func (r *Resource) waitsFor() []string {
	urns := slices.Clone(r.Options.GetDependencies())
	for _, deps := range r.Options.GetPropertyDependencies() {
		urns = append(urns, deps.GetUrns()...)
	}
	if provider := r.Options.GetProvider(); provider != "" {
		urn, _, _ := cutLast(provider, "::")
		urns = append(urns, urn)
	}
	names := make([]string, len(urns))
	for i, urn := range urns {
		_, names[i], _ = cutLast(urn, "::")
	}
	return names
}

// Get walks into the inputs: Get("origins", 0, "domainName").
func (r *Resource) Get(path ...any) any {
	var v any = r.Inputs
	for _, step := range path {
		switch at := v.(type) {
		case map[string]any:
			v = at[fmt.Sprint(step)]
		case []any:
			i, ok := step.(int)
			if !ok || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

// IsSecret says whether the input at a path is secret.
func (r *Resource) IsSecret(path string) bool { return slices.Contains(r.Secret, path) }

// Variables looks up the variables of a command resource.
func (r *Resource) Variables() func(string) (string, bool) {
	return func(key string) (string, bool) {
		v, ok := r.Get("environment", key).(string)
		return v, ok
	}
}

type monitor struct {
	mu    sync.Mutex
	found Program
	stack Stack
}

// NewResource answers with made-up outputs, close to what AWS gives.
func (m *monitor) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	r := &Resource{Type: args.TypeToken, Name: args.Name, Options: args.RegisterRPC}
	r.Inputs = r.open("", resource.NewObjectProperty(args.Inputs)).(map[string]any)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.found[args.Name] != nil {
		return "", nil, fmt.Errorf("two resources are named %s", args.Name)
	}
	m.found[args.Name] = r
	state := maps.Clone(args.Inputs)
	if state == nil {
		state = resource.PropertyMap{}
	}
	for key, value := range outputs(args.TypeToken, args.Name) {
		if _, ok := state[resource.PropertyKey(key)]; !ok {
			state[resource.PropertyKey(key)] = resource.NewPropertyValue(value)
		}
	}
	return args.Name + "-id", state, nil
}

// Call answers look-ups.
func (m *monitor) Call(args pulumi.MockCallArgs) (resource.PropertyMap, error) {
	text := func(key string) string { return args.Args[resource.PropertyKey(key)].StringValue() }
	switch args.Token {
	case "aws:index/getAvailabilityZones:getAvailabilityZones":
		return resource.NewPropertyMapFromMap(map[string]any{"names": []any{"eu-west-3c", "eu-west-3a", "eu-west-3b"}}), nil
	case "aws:index/getCallerIdentity:getCallerIdentity":
		return resource.NewPropertyMapFromMap(map[string]any{"accountId": "123456789012", "arn": "arn:aws:iam::123456789012:user/somebody"}), nil
	case "aws:ec2/getManagedPrefixList:getManagedPrefixList":
		return resource.NewPropertyMapFromMap(map[string]any{"id": "pl-" + text("name")}), nil
	case "aws:ec2/getSubnet:getSubnet":
		// The id says it all: subnet-<vpc>-<zone>.
		id := text("id")
		if strings.HasSuffix(id, "404") {
			return nil, fmt.Errorf("no matching EC2 Subnet found")
		}
		vpc, zone, _ := strings.Cut(strings.TrimPrefix(id, "subnet-"), "f")
		return resource.NewPropertyMapFromMap(map[string]any{"id": id, "vpcId": "vpc-" + vpc, "availabilityZone": "eu-west-3" + zone}), nil
	}
	return nil, fmt.Errorf("no answer for %s", args.Token)
}

func outputs(typ, name string) map[string]any {
	arn := func(service string) string { return "arn:aws:" + service + ":eu-west-3:123456789012:" + name }
	switch typ {
	case "aws:rds/instance:Instance":
		return map[string]any{"address": "db.example.com", "port": 5432, "resourceId": "db-ABC"}
	case "random:index/randomPassword:RandomPassword":
		return map[string]any{"result": "Made0Up0For0" + strings.ReplaceAll(name, "-", "0")}
	case "random:index/randomId:RandomId":
		return map[string]any{"hex": "0a1b2c3d"}
	case "aws:secretsmanager/secret:Secret":
		return map[string]any{"arn": arn("secretsmanager")}
	case "aws:secretsmanager/secretVersion:SecretVersion":
		return map[string]any{"versionId": name + "-version"}
	case "aws:lb/loadBalancer:LoadBalancer":
		return map[string]any{"arn": arn("elasticloadbalancing"), "dnsName": "alb.example.com", "arnSuffix": "app/alb/1"}
	case "aws:lb/targetGroup:TargetGroup":
		return map[string]any{"arn": arn("elasticloadbalancing"), "arnSuffix": "targetgroup/tg/1"}
	case "aws:ecs/taskDefinition:TaskDefinition":
		return map[string]any{"arn": arn("ecs") + ":1"}
	case "aws:cloudfront/distribution:Distribution":
		return map[string]any{"domainName": "d123.cloudfront.net", "hostedZoneId": "Z2FDTNDATAQYW2", "etag": "E1"}
	case "pgrows:index:Revision":
		return map[string]any{"revision": "0003", "generation": 4, "drift": "", "notMigrated": map[string]any{}}
	case "pgrows:index:Login":
		return map[string]any{"generation": 4, "drift": ""}
	case "pgrows:index:Rows":
		return map[string]any{"rowCount": 2}
	case "served:index:Verification":
		return map[string]any{"summary": "https://site.example: 5 checks passed at 2026-11-24T21:00:00Z"}
	case "served:index:Rollout":
		return map[string]any{"deployed": "ok"}
	case "served:index:Capacity":
		return map[string]any{"desired": "ok"}
	case "command:local:Command":
		return map[string]any{"stdout": "0003\n", "stderr": ""}
	}
	return map[string]any{"arn": arn("made")}
}

// open gives the plain value and notes where secrets were.
func (r *Resource) open(path string, v resource.PropertyValue) any {
	switch {
	case v.IsSecret():
		r.Secret = append(r.Secret, path)
		return r.open(path, v.SecretValue().Element)
	case v.IsOutput():
		return r.open(path, v.OutputValue().Element)
	case v.IsObject():
		m := map[string]any{}
		for key, value := range v.ObjectValue() {
			m[string(key)] = r.open(strings.TrimPrefix(path+"."+string(key), "."), value)
		}
		return m
	case v.IsArray():
		list := []any{}
		for i, value := range v.ArrayValue() {
			list = append(list, r.open(fmt.Sprintf("%s[%d]", path, i), value))
		}
		return list
	case v.IsResourceReference():
		return string(v.ResourceReferenceValue().URN)
	}
	return v.V
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
