package testkit

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"plan-charge/internal/authority"
)

// ReadStack reads a stack file of the project in dir as the engine hands it over. For one that wants it, the environment names
// who vouches for the database.
func ReadStack(t testing.TB, dir, name string) Stack {
	t.Helper()
	var file struct{ Config map[string]any }
	ReadYAML(t, filepath.Join(dir, "Pulumi."+name+".yaml"), &file)
	s := Stack{Project: "plan-charge", Name: name, Config: map[string]string{}}
	for key, value := range file.Config {
		s.Config[key] = Raw(t, value)
	}
	if strings.Contains(s.Config["plan-charge:database"], `"authority":"environment"`) {
		t.Setenv(authority.Variable, filepath.Join(dir, authority.File))
	}
	return s
}

// ReadYAML reads a YAML file.
func ReadYAML(t testing.TB, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// Raw is a value of the configuration as the engine hands it over: text as it is, the rest as JSON.
func Raw(t testing.TB, value any) string {
	t.Helper()
	if text, ok := value.(string); ok {
		return text
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
