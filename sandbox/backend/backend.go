// Package backend holds the sample service that the sandbox deploys: a FastAPI application with Alembic migrations, as
// an image would carry it in /app, and what it takes to run it without an image.
//
// The image's tag is handed over as SERVICE_VERSION (see Env). A few tags misbehave on purpose, so that failing
// deployments can be shown; app/app/variants.py lists them.
package backend

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"plan-charge/internal/testkit/cache"
)

//go:embed app/alembic.ini app/requirements.txt app/app/*.py app/alembic/*.py app/alembic/*.mako app/alembic/*/*.py
var source embed.FS

// Workdir is the path that the image has for the application's folder.
const Workdir = "/app"

// Ensure puts the application and its virtual environment into the cache and returns the folder that stands for /app
// and the environment's Python. Beside that Python lie the commands `alembic` and `uvicorn`. Progress goes to w.
func Ensure(ctx context.Context, w io.Writer) (appDir, python string, err error) {
	python, err = ensureVenv(ctx, w)
	if err != nil {
		return "", "", err
	}
	key, err := sourceKey()
	if err != nil {
		return "", "", err
	}
	appDir, err = cache.Ensure(ctx, "backend-app", key, writeSource)
	if err != nil {
		return "", "", fmt.Errorf("put the sample backend into the cache: %w", err)
	}
	return appDir, python, nil
}

// Command runs the service; `python` is the one that Ensure returned. It listens on HOST (0.0.0.0) and PORT (8000).
func Command() []string { return []string{"python", "-m", "app"} }

// Env is the environment that an image with this tag has by itself. What a task definition sets wins over it.
func Env(tag string) map[string]string {
	return map[string]string{
		"SERVICE_VERSION":         tag,
		"PORT":                    "8000",
		"PYTHONUNBUFFERED":        "1", // or the last lines before a crash are lost
		"PYTHONDONTWRITEBYTECODE": "1",
	}
}

func sourceKey() (string, error) {
	h := sha256.New()
	err := fs.WalkDir(source, "app", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := source.ReadFile(path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(data), data)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))[:16], err
}

func writeSource(dir string) error {
	return fs.WalkDir(source, "app", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel("app", filepath.FromSlash(path))
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(dir, rel), 0o755)
		}
		data, err := source.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, rel), data, 0o644)
	})
}
