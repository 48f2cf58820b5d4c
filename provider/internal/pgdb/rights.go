package pgdb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Rights are what a role is to have, and nobody else besides the owner of things: on the database, and on the tables and
// sequences of one schema, those to come included.
type Rights struct {
	Role, Schema                string
	Database, Tables, Sequences []string // privileges, such as SELECT
}

// right is one privilege of somebody on something, or on a part of it.
type right struct {
	Grantee   string // "" is everybody, PUBLIC
	Kind      string // as REVOKE calls it, or one of the kinds below
	Object    string // quoted
	Part      string // column, quoted
	Schema    string
	Maker     string // of things to come
	Privilege string
	Grantable bool // the grantee may pass it on

	Declared bool `db:"-"` // but for that
}

// Kinds that REVOKE … ON does not know.
const (
	toCome    = "to come"
	member    = "member"
	attribute = "attribute"
)

// strangeRights lists who may do what, without what nobody had to grant: the owner's rights, what PostgreSQL gives to
// everybody, and what the server's own roles and superusers have. Whatever an extension made is the extension's.
const strangeRights = `
WITH spaces AS (
  SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), own AS (
  SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), things AS (
  SELECT 'DATABASE' AS kind, quote_ident(datname) AS object, '' AS part, ''::name AS schema, ''::name AS maker, datdba AS owner, datacl AS acl, acldefault('d', datdba) AS usual
    FROM pg_database WHERE datname = current_database()
  UNION ALL
  SELECT 'SCHEMA', quote_ident(nspname), '', nspname, '', nspowner, nspacl, acldefault('n', nspowner) FROM spaces
  UNION ALL
  SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, format('%I.%I', nspname, relname), '', nspname, '', relowner, relacl, NULL
    FROM pg_class c JOIN spaces s ON s.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM own)
  UNION ALL
  SELECT 'TABLE', format('%I.%I', nspname, relname), quote_ident(attname), nspname, '', relowner, attacl, NULL
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN spaces s ON s.oid = relnamespace
    WHERE attacl IS NOT NULL AND ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM own)
  UNION ALL
  SELECT 'ROUTINE', format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(p.oid)), '', nspname, '', proowner, proacl, acldefault('f', proowner)
    FROM pg_proc p JOIN spaces s ON s.oid = pronamespace WHERE ('pg_proc'::regclass, p.oid) NOT IN (SELECT classid, objid FROM own)
  UNION ALL
  SELECT 'to come', CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END, '',
    coalesce(nspname, ''), pg_get_userbyid(defaclrole), defaclrole, defaclacl,
    CASE WHEN defaclnamespace = 0 THEN acldefault(CASE defaclobjtype WHEN 'S' THEN 's' ELSE defaclobjtype END, defaclrole) END
    FROM pg_default_acl LEFT JOIN spaces s ON s.oid = defaclnamespace
), natives AS (
  SELECT oid FROM pg_roles WHERE rolsuper OR rolname ~ '^(pg_|rds)' OR rolname = current_user
), found AS (
  SELECT e.grantee, kind, object, part, schema, maker, privilege_type AS privilege, is_grantable AS grantable
    FROM things t, aclexplode(CASE WHEN cardinality(acl) > 0 THEN acl END) e
    WHERE e.grantee <> t.owner AND e.grantee NOT IN (SELECT oid FROM natives)
      AND NOT EXISTS (SELECT FROM aclexplode(usual) u WHERE u.grantee = e.grantee AND u.privilege_type = e.privilege_type)
      AND NOT (kind = 'SCHEMA' AND schema = 'public' AND e.grantee = 0
        AND (privilege_type = 'USAGE' OR current_setting('server_version_num')::int < 150000))
  UNION ALL
  SELECT DISTINCT m.member, 'member', quote_ident(pg_get_userbyid(m.roleid)), '', ''::name, ''::name, '', false
    FROM pg_auth_members m
    WHERE m.member NOT IN (SELECT oid FROM natives) AND (pg_get_userbyid(m.member) = $1 OR pg_get_userbyid(m.roleid) IN ($1, current_user))
  UNION ALL
  SELECT oid, 'attribute', 'BYPASSRLS', '', '', '', '', false FROM pg_roles WHERE rolname = $1 AND rolbypassrls
)
SELECT CASE grantee WHEN 0 THEN '' ELSE pg_get_userbyid(grantee) END, kind, object, part, schema::text, maker::text, privilege, grantable
FROM found ORDER BY 1, 2, 5, 3, 4, 6, 7`

// find lists the rights that are not declared.
func (r Rights) find(ctx context.Context, tx pgx.Tx) ([]right, error) {
	rows, err := tx.Query(ctx, strangeRights, r.Role)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[right])
	if err != nil {
		return nil, fmt.Errorf("read who may do what: %w", err)
	}
	var owner string
	if err := tx.QueryRow(ctx, "SELECT current_user").Scan(&owner); err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Declared = r.declares(all[i], owner)
	}
	return slices.DeleteFunc(all, func(found right) bool { return found.Declared && !found.Grantable }), nil
}

// declares says whether somebody is to have a right.
func (r Rights) declares(found right, owner string) bool {
	if found.Grantee != r.Role {
		return false
	}
	in := found.Schema == r.Schema && (found.Kind != toCome || found.Maker == owner)
	switch {
	case found.Kind == "DATABASE":
		return slices.Contains(r.Database, found.Privilege)
	case in && (found.Kind == "TABLE" || found.Object == "TABLES"):
		return slices.Contains(r.Tables, found.Privilege)
	case in && (found.Kind == "SEQUENCE" || found.Object == "SEQUENCES"):
		return slices.Contains(r.Sequences, found.Privilege)
	}
	return false
}

// Stranger is what somebody may do with something although nobody declared it.
type Stranger struct {
	Name   string // for people
	revoke []string
}

// Strangers lists the rights that are not declared: one for each grantee and thing.
func (r Rights) Strangers(ctx context.Context, tx pgx.Tx) ([]Stranger, error) {
	found, err := r.find(ctx, tx)
	if err != nil {
		return nil, err
	}
	var list []Stranger
	for len(found) > 0 {
		same := found[:1]
		for len(same) < len(found) && found[len(same)].on() == same[0].on() {
			same = found[:len(same)+1]
		}
		list, found = append(list, strangerOf(same)), found[len(same):]
	}
	return list, nil
}

// on is the right without its privilege.
func (r right) on() right {
	r.Privilege, r.Grantable, r.Declared = "", false, false
	return r
}

func strangerOf(same []right) Stranger {
	s, first := Stranger{}, same[0]
	who := first.Grantee
	if who == "" {
		who = "PUBLIC"
	}
	var what []string
	for _, r := range same {
		word := r.Privilege
		if r.Part != "" {
			word += " (" + r.Part + ")"
		}
		if r.Grantable {
			word += " WITH GRANT OPTION"
		}
		what = append(what, word)
		s.revoke = append(s.revoke, r.sql())
	}
	switch first.Kind {
	case member:
		s.Name = fmt.Sprintf("%s: member of %s", who, first.Object)
	case attribute:
		s.Name = fmt.Sprintf("%s: %s", who, first.Object)
	case toCome:
		s.Name = fmt.Sprintf("%s: %s on %s to come", who, strings.Join(what, ", "), strings.ToLower(first.Object))
		if first.Schema != "" {
			s.Name += " in schema " + first.Schema
		}
		s.Name += ", made by " + first.Maker
	default:
		s.Name = fmt.Sprintf("%s: %s on %s %s", who, strings.Join(what, ", "), strings.ToLower(first.Kind), first.Object)
	}
	return s
}

// sql takes the right away, and what was passed on by means of it.
func (r right) sql() string {
	who := "PUBLIC"
	if r.Grantee != "" {
		who = pgx.Identifier{r.Grantee}.Sanitize()
	}
	privilege := r.Privilege
	if r.Declared {
		privilege = "GRANT OPTION FOR " + privilege
	}
	if r.Part != "" {
		privilege += " (" + r.Part + ")"
	}
	switch r.Kind {
	case member:
		return fmt.Sprintf("REVOKE %s FROM %s CASCADE", r.Object, who)
	case attribute:
		return fmt.Sprintf("ALTER ROLE %s NO%s", who, r.Object)
	case toCome:
		in := ""
		if r.Schema != "" {
			in = " IN SCHEMA " + pgx.Identifier{r.Schema}.Sanitize()
		}
		return fmt.Sprintf("ALTER DEFAULT PRIVILEGES FOR ROLE %s%s REVOKE %s ON %s FROM %s CASCADE", pgx.Identifier{r.Maker}.Sanitize(), in, privilege, r.Object, who)
	}
	return fmt.Sprintf("REVOKE %s ON %s %s FROM %s CASCADE", privilege, r.Kind, r.Object, who)
}

// Remove takes those strangers away for which wanted holds. It fails when one is still there afterwards: PostgreSQL passes
// over what somebody else has granted.
func (r Rights) Remove(ctx context.Context, tx pgx.Tx, wanted func(name string) bool) ([]string, error) {
	found, err := r.Strangers(ctx, tx)
	if err != nil {
		return nil, err
	}
	var removed []string
	for _, s := range found {
		if !wanted(s.Name) {
			continue
		}
		for _, sql := range s.revoke {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return nil, fmt.Errorf("remove %s: %w", s.Name, err)
			}
		}
		removed = append(removed, s.Name)
	}
	left, err := r.Strangers(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, s := range left {
		if slices.Contains(removed, s.Name) {
			return nil, fmt.Errorf("%s: somebody else than the owner has granted it, and has to revoke it", s.Name)
		}
	}
	return removed, nil
}
