package review_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"plan-charge/internal/review"
)

const printedSQL = `BEGIN;

-- Running upgrade 0003 -> 0004

ALTER TABLE users ADD COLUMN locale TEXT;

-- Running upgrade 0004 -> 0005

CREATE INDEX users_locale ON users (locale);

UPDATE alembic_version SET version_num='0005' WHERE alembic_version.version_num = '0004';

COMMIT;
`

// migrating is a plan of a new image whose source prints SQL.
func migrating(t testing.TB, printed string) *review.Plan {
	t.Helper()
	p := planOf(t, recorded(t, "image"))
	if from, err := p.Migration.Start(); from != "0003" || err != nil {
		t.Fatalf("it starts from %q: %v", from, err)
	}
	p.Migration.Script = review.NewScript("alembic upgrade 0003:head --sql", printed)
	return p
}

// TestMigrationIsTold compares the comments of a migration whose source is at hand.
func TestMigrationIsTold(t *testing.T) {
	p := migrating(t, printedSQL)
	if p.Migration.Script.To != "0005" {
		t.Errorf("it goes to %q, want 0005", p.Migration.Script.To)
	}
	p.Migration.Script.Blocks = []review.Note{{Line: 9, Statement: "CREATE INDEX users_locale ON users (locale);", Text: "During normal index creation, table updates are blocked, but reads are still allowed."}}
	compare(t, "migration", render(t, p))

	for name, change := range map[string]struct {
		do   func(*review.Migration)
		want string
	}{
		"an older image":         {func(m *review.Migration) { m.Passed = "the database has moved past it" }, "1. **No migration**\n   - the database has moved past it\n"},
		"back a revision":        {func(m *review.Migration) { m.BackTo, m.Script = "0002", nil }, "**Migration** `0003` → `0002`"},
		"an empty database":      {func(m *review.Migration) { m.Empty, m.From = true, "" }, "**Migration** (empty) → `0005`"},
		"no linter":              {func(m *review.Migration) { m.Script.NoLinter = "squawk is not there" }, "which statements lock a table was not looked at: squawk is not there"},
		"a source that is wrong": {func(m *review.Migration) { m.Script = &review.Script{Failed: "alembic: exit status 255"} }, "its SQL is not known: alembic: exit status 255"},
	} {
		t.Run(name, func(t *testing.T) {
			p := migrating(t, printedSQL)
			change.do(p.Migration)
			text := render(t, p)
			if !strings.Contains(text, change.want) {
				t.Errorf("%q is missing:\n%s", change.want, text)
			}
			if want := p.Migration.Passed == "" && p.Migration.Script != nil && p.Migration.Script.SQL != ""; strings.Contains(text, "SQL of the migration") != want {
				t.Errorf("SQL is shown: %v, want %v:\n%s", !want, want, text)
			}
		})
	}
}

// TestMigrationStartsWhereItIsKnownTo asks for no SQL from a place that is not known.
func TestMigrationStartsWhereItIsKnownTo(t *testing.T) {
	for _, c := range []struct {
		m    review.Migration
		want string
		fail string
	}{
		{review.Migration{From: "0003"}, "0003", ""},
		{review.Migration{Empty: true}, "base", ""},
		{review.Migration{}, "", "was not seen"},
		{review.Migration{From: "0003,0004"}, "", "not one revision"},
		{review.Migration{From: "--sql"}, "", "not one revision"},
		{review.Migration{From: "0003 0004"}, "", "not one revision"},
		{review.Migration{From: "0003", BackTo: "0002"}, "", "goes back to 0002"},
	} {
		from, err := c.m.Start()
		if from != c.want || (err == nil) != (c.fail == "") || err != nil && !strings.Contains(err.Error(), c.fail) {
			t.Errorf("%+v: got %q, %v", c.m, from, err)
		}
	}
}

// hostileSQL is what somebody prints who wants more than a code block.
func hostileSQL() string {
	return "-- Running upgrade 0003 -> 0004 @team\n" + strings.Join(names, "\n") + "\n</details>\n\n````\n@team <img src=x onerror=alert(1)> [link](https://evil.example)\n````\n" +
		"-- Running upgrade 0003 -> `x`\nALTER ROLE app PASSWORD '" + planted + "';\nALTER ROLE app ENCRYPTED PASSWORD $$" + planted + "$$;\nSELECT 'postgresql://u:" + planted + "@h/d', password = '" + planted + "';"
}

// TestHostileSQLStaysSQL looks at what Markdown makes of it, and for the passwords in it.
func TestHostileSQLStaysSQL(t *testing.T) {
	p := migrating(t, hostileSQL())
	p.Migration.Script.Command = "alembic `</details>` @team"
	p.Migration.Script.Blocks = []review.Note{{Line: 1, Statement: "`</details>` @team\n- x", Text: "</details> @team <!-- x -->"}}
	p.Migration.Script.NoLinter = "@team </details>"
	text := render(t, p)
	compare(t, "hostile-migration", text)
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for what, said := range map[string]string{"the comment": text, "review.json": string(raw)} {
		if strings.Contains(said, planted) {
			t.Errorf("%s tells a password:\n%s", what, said)
		}
	}
	outside := outsideCode(strings.SplitN(text, "\n", 3)[2])
	for _, bad := range []string{"</details>\n</details>", "<img", "@team", "[link](", "<!--", "-->", "\u202e"} {
		if strings.Contains(outside, bad) {
			t.Errorf("%q stands outside of code:\n%s", bad, outside)
		}
	}
	if opened, closed := strings.Count(outside, "<details"), strings.Count(outside, "</details>"); opened != 2 || closed != 2 {
		t.Errorf("%d details open and %d close, want 2 each:\n%s", opened, closed, outside)
	}
	if p.Migration.Script.To != "" {
		t.Errorf("%q is taken for a revision", p.Migration.Script.To)
	}
}

// TestLongSQLIsCut renders migrations that are longer than any comment.
func TestLongSQLIsCut(t *testing.T) {
	for _, count := range []int{10, 1000, 10000} {
		var b strings.Builder
		for i := range count {
			fmt.Fprintf(&b, "ALTER TABLE users ADD COLUMN c%d TEXT;\n", i)
		}
		p := migrating(t, b.String())
		text := render(t, p)
		if len(text) > review.Budget {
			t.Errorf("%d statements: %d bytes", count, len(text))
		}
		if cut := strings.Contains(text, "and more, for which there is no room"); cut != (count > 10) {
			t.Errorf("%d statements: cut is %v", count, cut)
		}
		if !strings.Contains(text, "ADD COLUMN c9 TEXT") || len(p.Migration.Script.SQL) > 64<<10 {
			t.Errorf("%d statements: %d bytes are kept:\n%.3000s", count, len(p.Migration.Script.SQL), text)
		}
	}
}

// TestMigrationGoesOnFromTheLastOne reads what the events tell of the database's revision.
func TestMigrationGoesOnFromTheLastOne(t *testing.T) {
	log := func(revision map[string]any, op apitype.OpType, left string, more ...step) []byte {
		run := step{op: op, typ: "command:local:Command", name: "migration-run", old: texts("stdout", left), new: map[string]any{
			"triggers": []any{"backend:1.1.0", "[]", 1.0}, "environment": map[string]any{"MIGRATE_DOWNGRADE_TO": ""},
		}}.metadata()
		run.URN = "urn:pulumi:prod::plan-charge::plan-charge:schema:Migration$command:local:Command::migration-run"
		if op == apitype.OpCreate {
			run.Old = nil
		}
		events := event(t, apitype.EngineEvent{ResourcePreEvent: &apitype.ResourcePreEvent{Metadata: run, Planning: true}})
		steps := append(more, step{op: apitype.OpSame, typ: "pgrows:index:Revision", name: "revision", old: revision, new: revision})
		return append(events, logOf(t, steps...)...)
	}
	seen := func(revision, drift string, passed map[string]any) map[string]any {
		return map[string]any{"revision": revision, "drift": drift, "notMigrated": passed}
	}
	const unseen = "not seen: no connection to db:5432"
	for name, c := range map[string]struct {
		log  []byte
		want review.Migration
	}{
		"it was seen":                         {log(seen("0004", "", nil), apitype.OpReplace, "0003"), review.Migration{From: "0004"}},
		"it was not seen":                     {log(seen("0002", unseen, nil), apitype.OpReplace, "0003\n"), review.Migration{From: "0003", Left: true}},
		"nobody knows":                        {log(seen("0002", unseen, nil), apitype.OpReplace, ""), review.Migration{}},
		"the database is made":                {log(nil, apitype.OpCreate, "", step{op: apitype.OpCreate, typ: instance, name: "db", new: texts("engine", "postgres")}), review.Migration{Empty: true}},
		"an existing database":                {log(nil, apitype.OpCreate, ""), review.Migration{}},
		"the database has moved past":         {log(seen("0004", "", map[string]any{"backend:1.1.0": "older"}), apitype.OpReplace, ""), review.Migration{From: "0004", Passed: "older"}},
		"the database has moved past another": {log(seen("0004", "", map[string]any{"backend:1.0.0": "older"}), apitype.OpReplace, ""), review.Migration{From: "0004"}},
	} {
		c.want.Image = "backend:1.1.0"
		if got := planOf(t, c.log).Migration; got == nil || *got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
	if m := planOf(t, log(seen("0004", "", nil), apitype.OpUpdate, "")).Migration; m != nil {
		t.Errorf("other settings alone migrate: %+v", m)
	}
}
