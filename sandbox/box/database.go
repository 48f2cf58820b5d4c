package box

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"plan-charge/internal/progress"
	"plan-charge/internal/testkit/postgres"
)

// stackFile is what the sandbox's stack asks for.
const stackFile = "Pulumi.sandbox.yaml"

// ensureDatabase fetches the PostgreSQL that a project's stack asks for, so that a deployment need not wait for it.
func ensureDatabase(ctx context.Context, w io.Writer, project string) error {
	version, err := databaseVersion(project)
	if err != nil || postgres.Here(version) {
		return err
	}
	if err := postgres.Check(version); err != nil {
		return fmt.Errorf("database.version in %s: %w", stackFile, err)
	}
	step := progress.Start(w, fmt.Sprintf("fetch PostgreSQL %d", version), 5*time.Second)
	err = postgres.Ensure(ctx, version)
	step.Done(err)
	return err
}

// databaseVersion is the major version of PostgreSQL that the stack asks for, or 0 where it leaves it to the default.
func databaseVersion(project string) (int, error) {
	data, err := os.ReadFile(filepath.Join(project, stackFile))
	if err != nil {
		return 0, err
	}
	var stack struct {
		Config struct {
			Database struct{ Version string } `yaml:"plan-charge:database"`
		}
	}
	if err := yaml.Unmarshal(data, &stack); err != nil {
		return 0, fmt.Errorf("%s: %w", stackFile, err)
	}
	major, _, _ := strings.Cut(stack.Config.Database.Version, ".")
	version, _ := strconv.Atoi(major) // what is no version the program refuses, with what is allowed
	return version, nil
}
