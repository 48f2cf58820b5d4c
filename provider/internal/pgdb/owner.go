package pgdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"plan-charge/provider/internal/value"
)

// Owner is the resource that rows belong to. Without an ID nothing is kept about it.
type Owner struct {
	// ID stays with the resource whatever it is called.
	ID string
	// Resource is its URN, in a stack of a project; Provider the URN of the provider that it uses, where that is known.
	Resource, Project, Stack, Provider string
	// Declares returns what another resource of the same program declares for the table, and false where the program has
	// not named such a resource (yet).
	Declares func(resource string) (keys []string, rows []Row, ok bool)
}

// claim is what the database remembers of another owner of rows of the table.
type claim struct {
	owner, resource, project, stack, provider string
	keys                                      []string // none where the whole table is claimed, for rows of a file
	since                                     time.Time
}

// whole says whether the claim is on every row of the table.
func (c claim) whole() bool { return len(c.keys) == 0 }

const ownedRows = "plan_charge.owned_rows"

// makeOwnedRows makes the table that remembers which rows belong to which resource: by digests of their keys, because a
// key may be secret.
const makeOwnedRows = `
	CREATE SCHEMA IF NOT EXISTS plan_charge;
	CREATE TABLE IF NOT EXISTS plan_charge.owned_rows (
		owner text PRIMARY KEY, resource text NOT NULL, project text NOT NULL, stack text NOT NULL, provider text NOT NULL,
		table_schema text NOT NULL, table_name text NOT NULL, key_columns text[] NOT NULL, keys uuid[] NOT NULL,
		since timestamptz NOT NULL DEFAULT now());
	COMMENT ON TABLE plan_charge.owned_rows IS 'Which rows belong to which resource of pgrows. A resource whose line is deleted here claims its rows again when it next writes.'`

// Access to the table that remembers owners.
const (
	absent = iota
	creatable
	forbidden
	usable
)

// access says whether owners are remembered here, or can be.
func access(ctx context.Context, tx pgx.Tx) (int, error) {
	var a int
	err := tx.QueryRow(ctx, fmt.Sprintf(`
		SELECT CASE
			WHEN c.oid IS NOT NULL AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
				AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') THEN %d
			WHEN c.oid IS NOT NULL THEN %d
			WHEN n.oid IS NULL AND has_database_privilege(current_database(), 'CREATE') OR has_schema_privilege(n.oid, 'CREATE, USAGE') THEN %d
			ELSE %d END
		FROM (VALUES (1)) one LEFT JOIN pg_namespace n ON n.nspname = 'plan_charge' LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'owned_rows'`,
		usable, forbidden, creatable, absent)).Scan(&a)
	if err != nil {
		return absent, fmt.Errorf("look up %s: %w", ownedRows, err)
	}
	return a, nil
}

// otherClaims returns the claims of other resources on rows of the table.
func (t *Table) otherClaims(ctx context.Context, tx pgx.Tx, spec Spec) ([]claim, error) {
	if a, err := access(ctx, tx); err != nil || a != usable {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT owner, resource, project, stack, provider, key_columns, since FROM plan_charge.owned_rows
		WHERE table_schema = $1 AND table_name = $2 AND owner <> $3 AND (cardinality(keys) > 0 OR cardinality(key_columns) = 0) ORDER BY since, owner`, t.Schema, t.Name, spec.Owner.ID)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ownedRows, err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (claim, error) {
		var c claim
		err := row.Scan(&c.owner, &c.resource, &c.project, &c.stack, &c.provider, &c.keys, &c.since)
		return c, err
	})
}

// digest is the SQL expression for the digest of a row's key.
func (t *Table) digest(keys []string, alias string) string {
	parts := make([]string, len(keys))
	for i, k := range keys {
		q := alias + "." + pgx.Identifier{k}.Sanitize()
		switch t.Columns[k].Type.Base {
		case "numeric":
			q = "trim_scale(" + q + ")"
		case "citext":
			q = "lower(" + q + "::text)"
		}
		parts[i] = q + `::text COLLATE "C"`
	}
	return fmt.Sprintf("encode(substr(sha256(convert_to(ARRAY[%s]::text, 'UTF8')), 1, 16), 'hex')::uuid", strings.Join(parts, ", "))
}

// ownedBy is the SQL condition under which a row of the table, called alias, is claimed; "" where the table has lost the key.
func (t *Table) ownedBy(c claim, alias string) string {
	if slices.ContainsFunc(c.keys, func(k string) bool { _, ok := t.Columns[k]; return !ok }) {
		return ""
	}
	if c.whole() {
		return "true"
	}
	return fmt.Sprintf("%s IN (SELECT unnest(keys) FROM plan_charge.owned_rows WHERE owner = %s)", t.digest(c.keys, alias), literal(c.owner))
}

// contested finds declared rows that belong to another resource. Claims that are over come back in lapsed: the program has no
// such resource any more, or has moved the row.
func (t *Table) contested(ctx context.Context, tx pgx.Tx, spec Spec, declared *staged) (problems []Problem, lapsed []claim, err error) {
	if spec.Owner.ID == "" || declared.count() == 0 {
		return nil, nil, nil
	}
	claims, err := t.otherClaims(ctx, tx, spec)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range claims {
		rows, err := t.claimed(ctx, tx, spec, declared, c)
		if err != nil {
			return nil, nil, err
		}
		over := false
		for _, i := range rows {
			if t.isOver(spec, declared.rows[i], c) {
				over = true
				continue
			}
			problems = append(problems, Problem{Row: declared.rows[i].Name, Reason: c.reason()})
		}
		if over {
			lapsed = append(lapsed, c)
		}
	}
	return problems[:min(len(problems), maxProblems)], lapsed, nil
}

func (c claim) reason() string {
	belongs := "belongs to"
	if c.whole() {
		belongs = "is in a table that belongs as a whole, because its rows come from a file, to"
	}
	return fmt.Sprintf(belongs+" the resource %s of stack %s, project %s, since %s. Declare it once; if that resource is gone for good, give its rows up: DELETE FROM %s WHERE owner = %s",
		c.resource[strings.LastIndex(c.resource, "::")+len("::"):], c.stack, c.project, c.since.UTC().Format(time.RFC3339), ownedRows, literal(c.owner))
}

// claimed returns the declared rows that a claim is on.
func (t *Table) claimed(ctx context.Context, tx pgx.Tx, spec Spec, declared *staged, c claim) ([]int32, error) {
	sql := fmt.Sprintf("SELECT d.%s FROM %s d", declared.position, declared.table)
	alias := "d"
	if !c.whole() && !slices.Equal(c.keys, spec.Keys) { // only a row that is there says what its other key is
		alias = "t"
		sql += fmt.Sprintf(" JOIN %s t ON %s", t.Identifier(), declared.onKeys(spec.Keys, "t", "d"))
	}
	owned := t.ownedBy(c, alias)
	if owned == "" {
		return nil, nil
	}
	found, err := tx.Query(ctx, sql+" WHERE "+owned+" ORDER BY 1")
	if err != nil {
		return nil, fmt.Errorf("compare with %s: %w", ownedRows, err)
	}
	rows, err := pgx.CollectRows(found, pgx.RowTo[int32])
	if err != nil {
		return nil, fmt.Errorf("compare with %s: %w", ownedRows, err)
	}
	return rows, nil
}

// isOver says whether a claim on a row may be taken over. What a program declares now counts for its own stack.
func (t *Table) isOver(spec Spec, row Row, c claim) bool {
	o := spec.Owner
	if c.project != o.Project || c.stack != o.Stack || c.provider != "" && o.Provider != "" && c.provider != o.Provider {
		return false
	}
	if c.resource == o.Resource || o.Declares == nil {
		return true
	}
	keys, rows, ok := o.Declares(c.resource)
	if !ok {
		return true
	}
	if c.whole() || !slices.Equal(keys, spec.Keys) {
		return false
	}
	mine, known := t.canonicalKey(keys, row)
	return known && !slices.ContainsFunc(rows, func(r Row) bool { theirs, ok := t.canonicalKey(keys, r); return ok && theirs == mine })
}

// canonicalKey is one spelling for keys that are equal to PostgreSQL.
func (t *Table) canonicalKey(keys []string, r Row) (string, bool) {
	var b strings.Builder
	for _, k := range keys {
		c, ok := value.Canonical(r.Values[k], t.Columns[k].Type)
		if !ok {
			return "", false
		}
		b.WriteString(strconv.Quote(c))
	}
	return b.String(), true
}

// queue makes the writers of a table wait for one another, so that none misses the other's claim.
func (t *Table) queue(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", "pgrows "+t.Identifier())
	return err
}

// claim remembers that the declared rows belong to the resource. It returns what is to be said where it could not.
func (t *Table) claim(ctx context.Context, tx pgx.Tx, spec Spec, declared *staged, lapsed []claim) (warning string, err error) {
	if spec.Owner.ID == "" || declared.count() == 0 && declared.file == nil {
		return "", spec.Owner.release(ctx, tx)
	}
	a, err := access(ctx, tx)
	if err != nil {
		return "", err
	}
	if a == creatable {
		if err := create(ctx, tx); err != nil {
			return "", err
		}
		a = usable
	}
	if a != usable {
		return fmt.Sprintf("nothing keeps another resource from declaring the same rows: the user may not use or make %s", ownedRows), nil
	}
	keys, keyColumns := fmt.Sprintf("ARRAY(SELECT %s FROM %s d ORDER BY 1)", t.digest(spec.Keys, "d"), declared.table), spec.Keys
	if declared.file != nil {
		keys, keyColumns = "'{}'", []string{}
	}
	for _, c := range lapsed {
		if declared.file != nil {
			if err := (Owner{ID: c.owner}).release(ctx, tx); err != nil {
				return "", err
			}
			continue
		}
		theirs := fmt.Sprintf("ARRAY(SELECT unnest(o.keys) EXCEPT SELECT %s FROM %s d)", t.digest(c.keys, "d"), declared.table)
		if !slices.Equal(c.keys, spec.Keys) {
			theirs = fmt.Sprintf("ARRAY(SELECT unnest(o.keys) EXCEPT SELECT %s FROM %s d JOIN %s t ON %s)", t.digest(c.keys, "t"), declared.table, t.Identifier(), declared.onKeys(spec.Keys, "t", "d"))
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("UPDATE plan_charge.owned_rows o SET keys = %s WHERE owner = $1", theirs), c.owner); err != nil {
			return "", fmt.Errorf("take rows over from %s: %w", c.resource, err)
		}
	}
	o := spec.Owner
	_, err = tx.Exec(ctx, fmt.Sprintf(`
		INSERT INTO plan_charge.owned_rows AS o (owner, resource, project, stack, provider, table_schema, table_name, key_columns, keys)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, %s)
		ON CONFLICT (owner) DO UPDATE SET resource = EXCLUDED.resource, project = EXCLUDED.project, stack = EXCLUDED.stack, provider = EXCLUDED.provider,
			table_schema = EXCLUDED.table_schema, table_name = EXCLUDED.table_name, key_columns = EXCLUDED.key_columns, keys = EXCLUDED.keys
		WHERE (o.resource, o.project, o.stack, o.provider, o.table_schema, o.table_name, o.key_columns, o.keys) IS DISTINCT FROM
			(EXCLUDED.resource, EXCLUDED.project, EXCLUDED.stack, EXCLUDED.provider, EXCLUDED.table_schema, EXCLUDED.table_name, EXCLUDED.key_columns, EXCLUDED.keys)`, keys),
		o.ID, o.Resource, o.Project, o.Stack, o.Provider, t.Schema, t.Name, keyColumns)
	if err != nil {
		return "", fmt.Errorf("write %s: %w", ownedRows, err)
	}
	return "", nil
}

// create makes the table that remembers owners. Another resource may be making it too: then the first one wins, and this one
// finds it made.
func create(ctx context.Context, tx pgx.Tx) error {
	var err error
	for range attempts {
		var inner pgx.Tx
		if inner, err = tx.Begin(ctx); err != nil {
			return err
		}
		if _, err = inner.Exec(ctx, makeOwnedRows); err == nil {
			return inner.Commit(ctx)
		}
		if rollback := inner.Rollback(ctx); rollback != nil {
			return errors.Join(err, rollback)
		}
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || !slices.Contains([]string{pgerrcode.UniqueViolation, pgerrcode.DuplicateSchema, pgerrcode.DuplicateTable}, pg.Code) {
			break
		}
	}
	return fmt.Errorf("make %s: %w", ownedRows, err)
}

// attempts bounds how often the table is tried to be made.
const attempts = 4

// release gives up what the owner claimed.
func (o Owner) release(ctx context.Context, tx pgx.Tx) error {
	if o.ID == "" {
		return nil
	}
	if a, err := access(ctx, tx); err != nil || a != usable {
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM plan_charge.owned_rows WHERE owner = $1", o.ID); err != nil {
		return fmt.Errorf("give the rows up in %s: %w", ownedRows, err)
	}
	return nil
}

// Unowned refuses rows of which another resource says that they are its own.
func Unowned(ctx context.Context, tx pgx.Tx, spec Spec, t *Table, rows []Row) error {
	if len(rows) == 0 {
		return nil
	}
	declared, err := t.stage(ctx, tx, spec.Keys, rows, 0)
	if err != nil {
		return err
	}
	problems, _, err := t.contested(ctx, tx, spec, declared)
	if err == nil && len(problems) > 0 {
		err = &ProblemsError{Table: t.String(), Problems: problems}
	}
	return err
}
