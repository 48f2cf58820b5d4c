package resource_test

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/blang/semver"
	"github.com/jackc/pgx/v5"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/integration"
	presource "github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/provider/internal/contract"
	"plan-charge/provider/internal/pgdb"
	"plan-charge/provider/internal/pgtest"
	"plan-charge/provider/internal/resource"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const (
	rowsURN     = presource.URN("urn:pulumi:test::test::pgrows:index:Rows::rows")
	revisionURN = presource.URN("urn:pulumi:test::test::pgrows:index:Revision::revision")
	rightsURN   = presource.URN("urn:pulumi:test::test::pgrows:index:Rights::rights")
	loginURN    = presource.URN("urn:pulumi:test::test::pgrows:index:Login::login")
)

// out is a database that nobody can reach, or that counts how often it is used.
type store struct {
	resource.Store
	mu   sync.Mutex
	down bool
	uses int
}

func (s *store) use(ctx context.Context, f func(context.Context, pgx.Tx) error, run func(context.Context, func(context.Context, pgx.Tx) error) error) error {
	s.mu.Lock()
	s.uses++
	down := s.down
	s.mu.Unlock()
	if down {
		return &pgdb.UnreachableError{Address: "test", Reason: "it is down"}
	}
	return run(ctx, f)
}

func (s *store) Glance(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	return s.use(ctx, f, s.Store.Glance)
}

func (s *store) Look(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	return s.use(ctx, f, s.Store.Look)
}

func (s *store) Change(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	return s.use(ctx, f, s.Store.Change)
}

// world is a provider that is configured for a fresh database.
type world struct {
	t      *testing.T
	urn    presource.URN // of the rows
	db     *pgtest.Database
	store  *store
	server integration.Server
}

func newWorld(t *testing.T) *world { return newWorldIn(t, pgtest.New(t)) }

// newWorldIn is a provider of its own, as another program has one, for a database.
func newWorldIn(t *testing.T, db *pgtest.Database) *world {
	w := &world{t: t, urn: rowsURN, db: db}
	w.store = &store{Store: pgdb.New(w.db.Settings)}
	t.Cleanup(w.store.Close)
	open := func(got pgdb.Settings) resource.Store {
		got.SSLMode, got.SSLRootCert = "", ""
		if got != w.db.Settings {
			t.Errorf("opened with other settings than configured: %+v", got)
		}
		return w.store
	}
	var err error
	w.server, err = integration.NewServer(t.Context(), contract.Name, semver.MustParse(contract.Version), integration.WithProvider(resource.New(open)))
	if err != nil {
		t.Fatal(err)
	}
	w.configure(w.db.Settings.Port, "require")
	return w
}

func (w *world) configure(port int, sslMode string) {
	w.t.Helper()
	config := obj(`{"connectTimeout": 5}`).Set("port", property.New(float64(port))).Set("host", property.New(w.db.Settings.Host)).
		Set("database", property.New(w.db.Settings.Database)).Set("username", property.New("owner")).
		Set("password", property.New(pgtest.Password).WithSecret(true)).Set("sslMode", property.New(sslMode))
	if err := w.server.Configure(p.ConfigureRequest{Args: config}); err != nil {
		w.t.Fatal(err)
	}
}

// obj reads JSON as properties.
func obj(text string) property.Map {
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		panic(text + ": " + err.Error())
	}
	return presource.FromResourcePropertyValue(presource.NewProperty(presource.NewPropertyMapFromMap(v))).AsMap()
}

// show writes properties as JSON, with what JSON lacks as words.
func show(v property.Value) string {
	var plain func(v property.Value) any
	plain = func(v property.Value) any {
		switch {
		case v.IsComputed():
			return "(unknown)"
		case v.IsNull():
			return nil
		case v.IsBool():
			return v.AsBool()
		case v.IsNumber():
			return v.AsNumber()
		case v.IsString():
			return v.AsString()
		case v.IsArray():
			list := []any{}
			for _, e := range v.AsArray().All {
				list = append(list, plain(e))
			}
			return list
		}
		m := map[string]any{}
		for k, e := range v.AsMap().All {
			m[k] = plain(e)
		}
		return m
	}
	b, err := json.Marshal(plain(v))
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (w *world) check(inputs property.Map) property.Map {
	w.t.Helper()
	resp, err := w.server.Check(p.CheckRequest{Urn: w.urn, Inputs: inputs})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range resp.Failures {
		w.t.Fatalf("check refused %s: %s", f.Property, f.Reason)
	}
	return resp.Inputs
}

// resourceState is a resource as the engine keeps it.
type resourceState struct {
	id            string
	inputs, state property.Map
}

func (w *world) create(inputs property.Map) resourceState {
	w.t.Helper()
	s, err := w.tryCreate(inputs)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) tryCreate(inputs property.Map) (resourceState, error) {
	w.t.Helper()
	checked := w.check(inputs)
	resp, err := w.server.Create(p.CreateRequest{Urn: w.urn, Properties: checked})
	return resourceState{resp.ID, checked, resp.Properties}, err
}

// diff returns the changed paths as "kind path", sorted.
func (w *world) diff(s resourceState, inputs property.Map) string {
	w.t.Helper()
	resp, err := w.server.Diff(p.DiffRequest{ID: s.id, Urn: w.urn, State: s.state, OldInputs: s.inputs, Inputs: inputs})
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.HasChanges != (len(resp.DetailedDiff) > 0) {
		w.t.Errorf("HasChanges is %v with %d paths", resp.HasChanges, len(resp.DetailedDiff))
	}
	return paths(resp)
}

func paths(resp p.DiffResponse) string {
	lines := make([]string, 0, len(resp.DetailedDiff))
	for path, d := range resp.DetailedDiff {
		lines = append(lines, string(d.Kind)+" "+path)
	}
	return sortedLines(lines)
}

func sortedLines(lines []string) string {
	for i := range lines {
		for j := i + 1; j < len(lines); j++ {
			if lines[j] < lines[i] {
				lines[i], lines[j] = lines[j], lines[i]
			}
		}
	}
	return strings.Join(lines, "\n")
}

func (w *world) update(s resourceState, inputs property.Map) resourceState {
	w.t.Helper()
	checked := w.check(inputs)
	resp, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: w.urn, State: s.state, OldInputs: s.inputs, Inputs: checked})
	if err != nil {
		w.t.Fatal(err)
	}
	return resourceState{s.id, checked, resp.Properties}
}

// refresh reads and returns the new state and what the engine would show as drift.
func (w *world) refresh(s resourceState) (resourceState, string) {
	w.t.Helper()
	resp, err := w.server.Read(p.ReadRequest{ID: s.id, Urn: w.urn, Properties: s.state, Inputs: s.inputs})
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.ID == "" {
		return resourceState{}, "gone"
	}
	live := resourceState{resp.ID, resp.Inputs, resp.Properties}
	return live, w.diff(live, s.inputs)
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got: %s\nwant: %s", what, strings.ReplaceAll(got, "\n", "\n      "), strings.ReplaceAll(want, "\n", "\n      "))
	}
}
