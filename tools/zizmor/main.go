// Command zizmor looks for what is dangerous in the repository's workflows, offline. The program of that name comes from
// PyPI, once.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"plan-charge/sandbox/venv"
)

//go:embed requirements.txt
var requirements string

func main() {
	var found *exec.ExitError
	if err := run(); errors.As(err, &found) {
		os.Exit(found.ExitCode()) // it has said what
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "zizmor:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := venv.Ensure(context.Background(), os.Stderr, venv.Options{
		Name: "zizmor", What: "install zizmor", Takes: 15 * time.Second, Requirements: requirements,
	})
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(dir, "bin", "zizmor"), "--offline", "--quiet", ".github")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
