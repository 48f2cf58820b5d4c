package schemaobjects

// query reads the objects of one kind: their names, quoted where SQL wants it, and definitions.
type query struct{ kind, sql string }

// kinds are the names of what is read.
func kinds(list []query) []string {
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = c.kind
	}
	return names
}

// ours excludes the schemas that no migration makes anything in.
const ours = ` n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '` + OwnSchema + `') `

// relations are the tables, views and sequences that migrations make: partitions come and go at run time.
const relations = `(SELECT c.*, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE ` + ours + ` AND NOT (n.nspname = $1 AND c.relname = $2) AND NOT c.relispartition
	AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')) r`

// sequenceOptions are those of a row s of pg_sequence. Where it stands is no part of them.
const sequenceOptions = `concat_ws(' ', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle)`

// ownedBy holds between a sequence and a column that it counts for.
const ownedBy = `d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')`

// catalog is read in this order: what comes last is left out first.
var catalog = []query{
	{"table", `SELECT r.name, concat_ws(' ', r.relkind, r.relpersistence, r.relrowsecurity, r.relforcerowsecurity, pg_get_partkeydef(r.oid),
			(SELECT string_agg(h.inhparent::regclass::text, ', ' ORDER BY h.inhseqno) FROM pg_inherits h WHERE h.inhrelid = r.oid))
		FROM ` + relations + ` WHERE r.relkind IN ('r', 'p', 'f')`},

	// A column's own sequence goes and comes with it, so its options are the column's.
	{"column", `SELECT r.name || '.' || quote_ident(a.attname), concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull,
			'identity:' || a.attidentity::text, 'generated:' || a.attgenerated::text, pg_get_expr(e.adbin, e.adrelid),
			CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END,
			(SELECT string_agg(` + sequenceOptions + `, ', ' ORDER BY s.seqrelid) FROM pg_depend d JOIN pg_sequence s ON s.seqrelid = d.objid
				WHERE ` + ownedBy + ` AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum))
		FROM ` + relations + ` JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
			JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef e ON e.adrelid = a.attrelid AND e.adnum = a.attnum
		WHERE r.relkind IN ('r', 'p', 'f')`},

	// From version 18 on NOT NULL is a constraint, too; it is the column's here. One with a parent is a partition's.
	{"constraint", `SELECT r.name || '.' || quote_ident(k.conname), pg_get_constraintdef(k.oid)
		FROM ` + relations + ` JOIN pg_constraint k ON k.conrelid = r.oid WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0`},

	// One that a constraint made goes and comes with it.
	{"index", `SELECT r.name || '.' || quote_ident(i.relname), concat_ws(' ', pg_get_indexdef(x.indexrelid), x.indisvalid)
		FROM ` + relations + ` JOIN pg_index x ON x.indrelid = r.oid JOIN pg_class i ON i.oid = x.indexrelid
		WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u', 'x'))`},

	{"type", `SELECT quote_ident(n.nspname) || '.' || quote_ident(t.typname), concat_ws(' ', t.typtype, CASE t.typtype
			WHEN 'e' THEN (SELECT string_agg(quote_literal(l.enumlabel), ', ' ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid)
			WHEN 'd' THEN concat_ws(' ', format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault,
				(SELECT string_agg(quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid), ', ' ORDER BY k.conname)
					FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'))
			WHEN 'r' THEN (SELECT format_type(g.rngsubtype, NULL) FROM pg_range g WHERE g.rngtypid = t.oid)
			WHEN 'c' THEN (SELECT string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
				FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) END)
		FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
		WHERE ` + ours + ` AND (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
			AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')`},

	{"view", `SELECT r.name, concat_ws(' ', r.relkind, r.reloptions::text, pg_get_viewdef(r.oid)) FROM ` + relations + ` WHERE r.relkind IN ('v', 'm')`},

	{"sequence", `SELECT r.name, ` + sequenceOptions + ` FROM ` + relations + ` JOIN pg_sequence s ON s.seqrelid = r.oid
		WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE ` + ownedBy + ` AND d.objid = r.oid)`},

	// The functions that come with a range type depend on it internally.
	{"function", `SELECT quote_ident(n.nspname) || '.' || quote_ident(p.proname) || '(' || oidvectortypes(p.proargtypes) || ')',
			CASE WHEN p.prokind = 'a' THEN (SELECT concat_ws(' ', format_type(p.prorettype, NULL), g.aggkind, g.aggtransfn::regprocedure::text,
				g.aggfinalfn::text, format_type(g.aggtranstype, NULL), g.agginitval) FROM pg_aggregate g WHERE g.aggfnoid = p.oid)
			ELSE pg_get_functiondef(p.oid) END
		FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE ` + ours + ` AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i'))`},

	{"trigger", `SELECT r.name || '.' || quote_ident(g.tgname), concat_ws(' ', g.tgenabled, pg_get_triggerdef(g.oid))
		FROM ` + relations + ` JOIN pg_trigger g ON g.tgrelid = r.oid WHERE NOT g.tgisinternal`},

	{"policy", `SELECT r.name || '.' || quote_ident(y.polname), concat_ws(' ', y.polcmd, y.polpermissive,
			(SELECT string_agg(CASE m WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(m)) END, ', ' ORDER BY pg_get_userbyid(m)) FROM unnest(y.polroles) m),
			'USING ' || pg_get_expr(y.polqual, y.polrelid), 'CHECK ' || pg_get_expr(y.polwithcheck, y.polrelid))
		FROM ` + relations + ` JOIN pg_policy y ON y.polrelid = r.oid`},
}
