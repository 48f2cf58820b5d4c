package resource

import (
	"crypto/rand"
	"fmt"
	"slices"
	"sync"

	p "github.com/pulumi/pulumi-go-provider"
	presource "github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/provider/internal/pgdb"
)

// ownerKey is the output of rows by which the database knows the resource, whatever it is called.
const ownerKey = "owner"

// program is what the resources of the running program declare, by URN.
type program struct {
	mu       sync.Mutex
	declared map[presource.URN]*inputs
}

// declare remembers what a resource declares, and refuses rows that another one declares too.
func (g *program) declare(urn presource.URN, in *inputs) []p.CheckFailure {
	if in.unknown["schema"] || in.unknown["table"] || in.unknown["keyColumns"] {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.declared == nil {
		g.declared = map[presource.URN]*inputs{}
	}
	g.declared[urn] = in
	for other, theirs := range g.declared {
		if other == urn || theirs.schema != in.schema || theirs.table != in.table {
			continue
		}
		if theirs.file != "" || in.file != "" {
			in.refuse("table", "is %q, of which the resource %s declares rows too: a table with rows from a file belongs to one resource", in.table, other.Name())
			continue
		}
		if !slices.Equal(theirs.keys, in.keys) {
			continue
		}
		labels := map[string]bool{}
		for _, r := range theirs.rows {
			labels[r.label] = r.label != ""
		}
		for _, r := range in.rows {
			if labels[r.label] {
				in.refuse(r.place, "row %s of table %s is declared by the resource %s too: a row belongs to one", in.title(r), in.table, other.Name())
			}
		}
	}
	return in.failures
}

// of returns what a resource declares for a table.
func (g *program) of(resource, schema, table string) (keys []string, rows []pgdb.Row, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	in, ok := g.declared[presource.URN(resource)]
	if !ok || in.schema != schema || in.table != table {
		return nil, nil, ok
	}
	rows, _, err := in.known()
	if err != nil {
		return nil, nil, false
	}
	return in.keys, rows, true
}

// owner is what the database is told about the resource.
func (r *rows) owner(urn presource.URN, id string, in *inputs) pgdb.Owner {
	return pgdb.Owner{
		ID: id, Resource: string(urn), Project: string(urn.Project()), Stack: string(urn.Stack()), Provider: r.connector.urn(),
		Declares: func(other string) ([]string, []pgdb.Row, bool) { return r.program.of(other, in.schema, in.table) },
	}
}

// ownerOf is the name that a state has for the resource, "" where it was made before there were such names, or by an import.
func ownerOf(state property.Map) string {
	if v := state.Get(ownerKey); v.IsString() {
		return v.AsString()
	}
	return ""
}

func newOwner() string { return fmt.Sprintf("rows-%s", rand.Text()) }
