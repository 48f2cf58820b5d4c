package toolchain

import (
	"context"
	"io"
	"path/filepath"

	"plan-charge/internal/testkit/cache"
)

// sessionPlugin is the program's package in its module.
const sessionPlugin = "github.com/aws/session-manager-plugin/src/sessionmanagerplugin-main"

// SessionPlugin returns AWS's session-manager-plugin, the client that nobody here wrote and that the sandbox's sessions are
// tested with. It is built when needed, which takes a minute.
func SessionPlugin(ctx context.Context, w io.Writer) (string, error) {
	root, err := Repository()
	if err != nil {
		return "", err
	}
	b, err := newBuilder(ctx, root, w)
	if err != nil {
		return "", err
	}
	module := filepath.Join(b.plugins, "session")
	text, err := digest(module)
	if err != nil {
		return "", err
	}
	dir, err := cache.Ensure(ctx, "session", cache.Key(b.version, platform(), compileFlags, linkFlags, text), func(out string) error {
		return b.goBuild(module, filepath.Join(out, "session-manager-plugin"), sessionPlugin, "")
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "session-manager-plugin"), nil
}
