package review_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"plan-charge/internal/review"
)

const planted = "hunter2-planted"

// blinded is how the engine writes what is marked secret.
func blinded() map[string]any {
	return map[string]any{resource.SigKey: resource.SecretSig, "ciphertext": "[secret]"}
}

// TestSecretsStandNowhere plants a secret in every place that a log can have one in.
func TestSecretsStandNowhere(t *testing.T) {
	steps := map[string]step{
		"marked on the new side only": {typ: instance, old: texts("engine", planted), new: map[string]any{"engine": blinded()}},
		"marked on the old side only": {typ: instance, old: map[string]any{"engine": blinded()}, new: texts("engine", planted)},
		"a type nobody knows":         {typ: "vault:index:Thing", old: texts("value", planted), new: texts("value", planted+"2")},
		"a secret's version":          {typ: "aws:secretsmanager/secretVersion:SecretVersion", old: texts("secretString", planted), new: texts("secretString", planted+"2")},
		"a password that is unmarked": {typ: instance, old: texts("password", planted), new: texts("password", planted+"2")},
		"a command's environment":     {typ: "command:local:Command", old: map[string]any{"environment": texts("X", planted)}, new: map[string]any{"environment": texts("X", planted+"2")}},
		"a variable of a container": {
			typ: "aws:ecs/taskDefinition:TaskDefinition",
			old: texts("containerDefinitions", `[{"environment":[]}]`),
			new: texts("containerDefinitions", `[{"environment":[{"name":"DB_PASSWORD","value":"`+planted+`"}]}]`),
		},
		"a whole that comes": {typ: instance, old: texts(), new: map[string]any{"nested": map[string]any{"password": planted}}},
		"a URL":              {typ: "aws:ecs/service:Service", old: texts("url", "postgresql://u:"+planted+"@h/d"), new: texts("url", "postgresql://u:"+planted+"2@h/d")},
		"a header of the distribution": {
			typ: "aws:cloudfront/distribution:Distribution",
			old: map[string]any{"origins": []any{map[string]any{"customHeaders": []any{texts("value", planted)}}}},
			new: map[string]any{"origins": []any{map[string]any{"customHeaders": []any{texts("value", planted+"2")}}}},
		},
	}
	for name, s := range steps {
		t.Run(name, func(t *testing.T) {
			s.op, s.name = apitype.OpUpdate, "planted"
			var keys []string
			for key := range s.new {
				keys = append(keys, key)
			}
			s.diff = differs(keys...)
			refresh := s
			refresh.op = apitype.OpRefresh
			for _, steps := range [][]step{{s}, {refresh}} {
				p := planOf(t, logOf(t, steps...))
				text := render(t, p)
				raw, err := json.Marshal(p)
				if err != nil {
					t.Fatal(err)
				}
				for what, said := range map[string]string{"the comment": text, "review.json": string(raw), "the gate": strings.Join(p.Canonical(), "\n")} {
					if strings.Contains(said, planted) {
						t.Errorf("%s tells the secret:\n%s", what, said)
					}
				}
				if len(p.Steps)+len(p.Drift) != 1 || len(append(p.Steps, p.Drift...)[0].Changes) == 0 {
					t.Errorf("the change itself is not told: %s", raw)
				}
			}
		})
	}
	t.Run("an error", func(t *testing.T) {
		log := append(event(t, apitype.EngineEvent{DiagnosticEvent: &apitype.DiagnosticEvent{Severity: "error", Message: "cannot connect to postgresql://u:" + planted + "@h/d"}}), ended(t)...)
		if text := render(t, planOf(t, log)); strings.Contains(text, planted) {
			t.Errorf("told:\n%s", text)
		}
	})
}

func render(t testing.TB, p *review.Plan) string {
	t.Helper()
	text, err := reviewOf(t, p).Render(review.Budget)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
