package value_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"plan-charge/provider/internal/pgdb"
	"plan-charge/provider/internal/pgtest"
	"plan-charge/provider/internal/value"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// types are those that Canonical knows, and some that it does not.
var types = []value.Type{
	{Name: "boolean", Base: "bool"},
	{Name: "smallint", Base: "int2"},
	{Name: "integer", Base: "int4"},
	{Name: "bigint", Base: "int8"},
	{Name: "numeric", Base: "numeric"},
	{Name: "numeric(6,2)", Base: "numeric"},
	{Name: "double precision", Base: "float8"},
	{Name: "real", Base: "float4"},
	{Name: "uuid", Base: "uuid"},
	{Name: "timestamp with time zone", Base: "timestamptz"},
	{Name: "timestamp without time zone", Base: "timestamp"},
	{Name: "date", Base: "date"},
	{Name: "jsonb", Base: "jsonb"},
	{Name: "bytea", Base: "bytea"},
	{Name: "text", Base: "text"},
	{Name: "character varying(4)", Base: "varchar"},
	{Name: "character(4)", Base: "bpchar"},
	{Name: "interval", Base: "interval"},
	{Name: "inet", Base: "inet"},
	{Name: "oid", Base: "oid"},
	{Name: "time with time zone", Base: "timetz"},
}

// FuzzSame asks PostgreSQL about every pair of texts that Same takes for equal.
func FuzzSame(f *testing.F) {
	for i := range types {
		for _, pair := range [][2]string{
			{"1", "01"},
			{"1.50", "1.5"},
			{"1e2", "100"},
			{"-0", "0"},
			{"+1", "1"},
			{" 1 ", "1"},
			{"yes", "TRUE"},
			{"of", "off"},
			{"0x10", "16"},
			{"1_000", "1000"},
			{"ABCDEF00-0000-0000-0000-00000000000A", "{abcdef000000-00000000-00000000000a}"},
			{"2024-05-01T12:00:00+02:00", "2024-05-01 10:00:00Z"},
			{"2024-05-01", "2024-05-01 00:00:00"},
			{"2024-05-01 10:00:00.1234567+00", "2024-05-01 10:00:00.123457+00"},
			{"2024-05-01 10:00:00+0130", "2024-05-01T08:30:00Z"},
			{"2024-12-31 24:00:00", "2025-01-01"},
			{"0000-01-01", "0001-01-01 BC"},
			{"2024-05-01 10:00:00,5", "2024-05-01 10:00:00.5"},
			{`{"a": 1.0, "b": [1e1]}`, `{"b":[10],"a":1}`},
			{`{"a":1,"a":2}`, `{"a":2}`},
			{`"\u0061"`, `"a"`},
			{`1e400`, `1E400`},
			{`-0`, `0`},
			{`"\ud800"`, `"\ufffd"`},
			{`\xAB`, `\xab`},
			{"a", "a "},
			{"", " "},
			{"Infinity", "inf"},
			{"NaN", "nan"},
			{"2024-05-01 10:00:00 UTC", "2024-05-01 10:00:00+00"},
			{"2024-02-30", "2024-03-01"},
			{"99999-01-01", "99999-1-1"},
		} {
			f.Add(i, pair[0], pair[1])
		}
	}
	db := pgtest.New(f)
	conn, err := pgx.Connect(context.Background(), db.Superuser())
	if err != nil {
		f.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'"); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind int, a, b string) {
		if kind < 0 || kind >= len(types) {
			return
		}
		typ := types[kind]
		if a == b || !value.Same(a, b, typ) {
			return
		}
		var same bool
		err := conn.QueryRow(context.Background(), fmt.Sprintf("SELECT $1::text::%[1]s IS NOT DISTINCT FROM $2::text::%[1]s", typ.Name), a, b).Scan(&same)
		var pg *pgconn.PgError
		if errors.As(err, &pg) {
			return // what PostgreSQL does not take is refused before it is compared
		}
		if err != nil {
			t.Fatal(err)
		}
		if !same {
			t.Errorf("%s: %q and %q are the same here and not in PostgreSQL", typ.Name, a, b)
		}
	})
}

// FuzzCopy sends texts through COPY and reads them back.
func FuzzCopy(f *testing.F) {
	for _, s := range []string{"", `\N`, `\.`, "\\", "a\tb\nc\rd", "\b\f\v", "'\"$1;--", "é\u2028", "\\x41\\101", "null", "NULL"} {
		f.Add(s, "x")
	}
	db := pgdb.New(pgtest.New(f).Settings)
	defer db.Close()
	f.Fuzz(func(t *testing.T, a, b string) {
		pa, errA := value.Text(a, value.Type{Name: "text", Base: "text"})
		pb, errB := value.Text(b, value.Type{Name: "text", Base: "text"})
		if errA != nil || errB != nil {
			return
		}
		err := db.Look(context.Background(), func(ctx context.Context, tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "CREATE TEMP TABLE echo (n int, a text, b text, c text)"); err != nil {
				return err
			}
			line := append([]byte("1\t"), value.AppendCopy(nil, pa)...)
			line = append(append(line, '\t'), value.AppendCopy(nil, pb)...)
			line = append(append(line, '\t'), value.AppendCopy(nil, nil)...)
			if _, err := tx.Conn().PgConn().CopyFrom(ctx, strings.NewReader(string(line)+"\n"), "COPY echo FROM STDIN"); err != nil {
				return err
			}
			var gotA, gotB string
			var null *string
			if err := tx.QueryRow(ctx, "SELECT a, b, c FROM echo").Scan(&gotA, &gotB, &null); err != nil {
				return err
			}
			if gotA != a || gotB != b || null != nil {
				t.Errorf("%q, %q came back as %q, %q", a, b, gotA, gotB)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// FuzzArray sends lists through PostgreSQL's array syntax and reads them back.
func FuzzArray(f *testing.F) {
	f.Add("", "NULL", `a"b\c`)
	f.Add("{}", "a,b", " ")
	db := pgdb.New(pgtest.New(f).Settings)
	defer db.Close()
	f.Fuzz(func(t *testing.T, a, b, c string) {
		text, err := value.Text([]any{[]any{a, b}, []any{c, nil}}, value.Type{Name: "text[]", Base: "_text", Element: "text"})
		if err != nil {
			return
		}
		err = db.Look(context.Background(), func(ctx context.Context, tx pgx.Tx) error {
			var same bool
			err := tx.QueryRow(ctx, "SELECT $1::text::text[] = ARRAY[[$2::text, $3::text], [$4::text, NULL]]", *text, a, b, c).Scan(&same)
			if err == nil && !same {
				t.Errorf("%q, %q, %q became %s", a, b, c, *text)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestText(t *testing.T) {
	text, json := value.Type{Name: "text", Base: "text"}, value.Type{Name: "jsonb", Base: "jsonb"}
	for _, c := range []struct {
		v    any
		t    value.Type
		want string // an error where it starts with "!"
	}{
		{true, text, "true"},
		{1.0, text, "1"},
		{-0.25, text, "-0.25"},
		{1e15, text, "1000000000000000"},
		{9007199254740992.0, text, "9007199254740992"},
		{1e16, text, "!beyond 9007199254740992"},
		{"a\x00b", text, "!zero byte"},
		{"\xff", text, "!UTF-8"},
		{[]any{1.0}, text, "!list"},
		{map[string]any{}, text, "!object"},
		{map[string]any{"a": []any{1.0, nil, "<&>"}}, json, `{"a":[1,null,"<&>"]}`},
		{"{}", json, "{}"},
		{"text", json, "!no JSON text"},
		{1e17, json, "!beyond"},
		{[]any{map[string]any{"a": 1.0}}, value.Type{Name: "jsonb[]", Base: "_jsonb", Element: "jsonb"}, `{"{\"a\":1}"}`},
		{[]any{"a\x00"}, value.Type{Name: "text[]", Base: "_text", Element: "text"}, "!element 0 holds a zero byte"},
	} {
		got, err := value.Text(c.v, c.t)
		if want, isError := strings.CutPrefix(c.want, "!"); isError {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v as %s: got %v, want an error with %q", c.v, c.t.Name, err, want)
			}
		} else if err != nil || *got != c.want {
			t.Errorf("%v as %s: got %v (%v), want %s", c.v, c.t.Name, got, err, c.want)
		}
	}
	if got, err := value.Text(nil, text); got != nil || err != nil {
		t.Errorf("null: %v, %v", got, err)
	}
}
