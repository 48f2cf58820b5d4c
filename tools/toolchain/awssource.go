package toolchain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"plan-charge/internal/testkit/cache"
)

// awsModule is the name under which the provider imports itself; it is published under awsSourceModule.
const (
	awsModule       = "github.com/hashicorp/terraform-provider-aws"
	awsSourceModule = "github.com/upbound/terraform-provider-aws"
	awsVersion      = "v0.0.0-20241019052313-8fed8454b0e3" // Terraform AWS 5.68
)

// awsServices are the parts of the provider that are compiled, of about 250. Each costs time: compiling all takes half an
// hour on two cores. A service that one of these needs is compiled too, without its resources being served.
var awsServices = []string{
	"acm", "appautoscaling", "cloudfront", "cloudwatch", "ec2", "ecs", "elbv2", "iam", "kms", "logs", "meta", "rds",
	"route53", "secretsmanager", "sns", "sts",
}

// awsSourceKey changes with what awsSource writes; raise the first part when the cutting itself changes.
func awsSourceKey() string {
	return cache.Key(append([]string{"cut 1", awsVersion}, awsServices...)...)
}

// awsSource returns a copy of the provider's module that holds only the services in use. It is an entry of its own in
// the cache, so that its path stays the same and a changed mapping does not compile it again.
func (b *builder) awsSource() (string, error) {
	return cache.Ensure(b.ctx, "terraform-aws", awsSourceKey(), func(out string) error {
		src, err := b.download(awsSourceModule + "@" + awsVersion)
		if err != nil {
			return err
		}
		return cutProvider(src, out, awsServices)
	})
}

// download fetches a module and returns its folder.
func (b *builder) download(module string) (string, error) {
	cmd := exec.CommandContext(b.ctx, b.goTool, "mod", "download", "-json", module)
	cmd.Dir = filepath.Join(b.plugins, "bridged") // its go.sum is checked against
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, runErr := cmd.Output()
	var info struct{ Dir, Error string }
	if err := json.Unmarshal(text, &info); err != nil || info.Error != "" || runErr != nil {
		said := info.Error + string(tail(stderr.Bytes()))
		return "", fmt.Errorf("download %s: %w\n%s%s", module, errors.Join(runErr, err), said, advice([]byte(said)))
	}
	return info.Dir, nil
}

// cutProvider copies the provider's module from src to dst with only the given services and what they import, and
// shortens the two generated lists that name all services.
func cutProvider(src, dst string, services []string) error {
	c := &cutter{src: src, dst: dst, seen: map[string]bool{}, calls: map[string]bool{}}
	for _, dir := range []string{"names", "xpprovider", "version"} {
		if err := c.copyTree(dir); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(filepath.Join(src, "internal"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		// Services are taken one by one; the other two serve the provider's own tests and generators.
		if e.IsDir() && !slices.Contains([]string{"service", "acctest", "generate"}, e.Name()) {
			if err := c.copyTree("internal/" + e.Name()); err != nil {
				return err
			}
		}
	}
	for _, s := range services {
		if err := c.copyService(s); err != nil {
			return err
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		if err := copyFile(filepath.Join(src, name), filepath.Join(dst, name)); err != nil {
			return err
		}
	}
	if err := cutServiceList(filepath.Join(dst, "internal/provider/service_packages_gen.go"), services); err != nil {
		return err
	}
	return cutClients(filepath.Join(dst, "internal/conns/awsclient_gen.go"), c.calls)
}

type cutter struct {
	src, dst string
	seen     map[string]bool // services copied
	calls    map[string]bool // methods called anywhere
}

// copyService copies a service and, in turn, those that it imports.
func (c *cutter) copyService(name string) error {
	if c.seen[name] {
		return nil
	}
	c.seen[name] = true
	if _, err := os.Stat(filepath.Join(c.src, "internal/service", name)); err != nil {
		return fmt.Errorf("service %s is not in the provider: %w", name, err)
	}
	return c.copyTree("internal/service/" + name)
}

const servicePath = awsModule + "/internal/service/"

func (c *cutter) copyTree(rel string) error {
	var needs []string
	err := filepath.WalkDir(filepath.Join(c.src, rel), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(c.src, path)
		if err != nil {
			return err
		}
		to := filepath.Join(c.dst, name)
		switch {
		case e.IsDir() && (e.Name() == "testdata" || e.Name() == "generate"):
			return filepath.SkipDir
		case e.IsDir():
			return os.MkdirAll(to, 0o755)
		case strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".go") && !isGeneratedList(path) {
			file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, spec := range file.Imports {
				imported, _ := strconv.Unquote(spec.Path.Value)
				if service, ok := strings.CutPrefix(imported, servicePath); ok {
					needs = append(needs, strings.Split(service, "/")[0])
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok {
					c.calls[sel.Sel.Name] = true
				}
				return true
			})
		}
		return os.WriteFile(to, text, 0o644)
	})
	if err != nil {
		return err
	}
	for _, service := range needs {
		if err := c.copyService(service); err != nil {
			return err
		}
	}
	return nil
}

// isGeneratedList tells the two files that name every service, whatever is in use.
func isGeneratedList(path string) bool {
	base := filepath.Base(path)
	return base == "awsclient_gen.go" || base == "service_packages_gen.go"
}

// cutServiceList keeps the services' entries in the list that the provider is made of.
func cutServiceList(path string, services []string) error {
	return rewrite(path, func(file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			list, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			list.Elts = slices.DeleteFunc(list.Elts, func(e ast.Expr) bool {
				call, ok := e.(*ast.CallExpr)
				if !ok {
					return false
				}
				sel, ok := call.Fun.(*ast.SelectorExpr)
				if !ok {
					return false
				}
				pkg, ok := sel.X.(*ast.Ident)
				return ok && !slices.Contains(services, pkg.Name)
			})
			return false
		})
	})
}

// cutClients keeps the methods that somebody calls: each brings a whole AWS SDK package.
func cutClients(path string, calls map[string]bool) error {
	return rewrite(path, func(file *ast.File) {
		file.Decls = slices.DeleteFunc(file.Decls, func(d ast.Decl) bool {
			fn, ok := d.(*ast.FuncDecl)
			return ok && fn.Recv != nil && !calls[fn.Name.Name]
		})
	})
}

// rewrite changes a file and drops the imports that are no longer used.
func rewrite(path string, change func(*ast.File)) error {
	fset := token.NewFileSet()
	// Without comments: they are placed by position and would end up anywhere.
	file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	change(file)
	used := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if pkg, ok := sel.X.(*ast.Ident); ok {
				used[pkg.Name] = true
			}
		}
		return true
	})
	for _, d := range file.Decls {
		imports, ok := d.(*ast.GenDecl)
		if !ok || imports.Tok != token.IMPORT {
			continue
		}
		imports.Specs = slices.DeleteFunc(imports.Specs, func(s ast.Spec) bool {
			spec := s.(*ast.ImportSpec)
			imported, _ := strconv.Unquote(spec.Path.Value)
			name := imported[strings.LastIndex(imported, "/")+1:]
			if spec.Name != nil {
				name = spec.Name.Name
			}
			return !used[name]
		})
	}
	var out bytes.Buffer
	if err := format.Node(&out, fset, file); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
