// Package backend holds the sample service that the sandbox deploys: a FastAPI application with Alembic migrations, as
// an image would carry it in /app.
//
// The image's tag is handed over as SERVICE_VERSION (see image.Env). A few tags misbehave on purpose, so that failing
// deployments can be shown; app/app/variants.py lists them.
package backend

import (
	"context"
	"embed"
	"io"
	"io/fs"

	"plan-charge/sandbox/image"
)

//go:embed app/alembic.ini app/requirements.txt app/app/*.py app/alembic/*.py app/alembic/*.mako app/alembic/*/*.py
var source embed.FS

// Ensure puts the application and its virtual environment into the cache. Progress goes to w.
func Ensure(ctx context.Context, w io.Writer) (image.Program, error) {
	folder, err := fs.Sub(source, "app")
	if err != nil {
		return image.Program{}, err
	}
	return image.Build(ctx, w, folder, image.Options{Name: "backend", What: "the sample backend"})
}
