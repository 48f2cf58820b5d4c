package order_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNothingWaitsForAComponent looks that every dependency goes through this package's types.
func TestNothingWaitsForAComponent(t *testing.T) {
	looked := 0
	for _, pattern := range []string{"../../*.go", "../../infra/*.go", "../../schema/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			looked++
			if strings.Contains(string(text), "pulumi.DependsOn") {
				t.Errorf("%s uses pulumi.DependsOn, which takes components too; use order.After", file)
			}
		}
	}
	if looked < 20 {
		t.Errorf("looked at %d files only", looked)
	}
}
