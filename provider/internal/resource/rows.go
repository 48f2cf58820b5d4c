package resource

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	presource "github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/provider/internal/pgdb"
	"plan-charge/provider/internal/rowid"
	"plan-charge/provider/internal/value"
)

var _ infer.InferredResource = (*rows)(nil)

// rows is the resource pgrows:index:Rows: the inferred schema, with operations of its own.
type rows struct {
	infer.InferredResource
	connector *connector
	program   program
}

// Check refuses mistakes and puts the rows in order by key.
func (r *rows) Check(ctx context.Context, req p.CheckRequest) (p.CheckResponse, error) {
	in := decode(req.Inputs)
	in.check(req.Inputs)
	if len(in.failures) == 0 {
		in.checkFile(decode(req.State))
	}
	if len(in.failures) > 0 {
		return p.CheckResponse{Inputs: req.Inputs, Failures: in.failures}, nil
	}
	if failures := r.program.declare(req.Urn, in); len(failures) > 0 {
		return p.CheckResponse{Inputs: req.Inputs, Failures: failures}, nil
	}
	r.connector.notice(ctx)
	return p.CheckResponse{Inputs: in.normal(req.Inputs)}, nil
}

// Create adopts and inserts.
func (r *rows) Create(ctx context.Context, req p.CreateRequest) (p.CreateResponse, error) {
	in := decode(req.Properties)
	resp := p.CreateResponse{ID: in.id()}
	if req.DryRun {
		if err := r.foresee(ctx, req.Urn, in, ""); err != nil {
			return resp, err
		}
		resp.Properties = in.state(req.Properties, nil).Set(ownerKey, property.New(property.Computed))
		return resp, nil
	}
	owner := newOwner()
	table, err := r.apply(ctx, r.owner(req.Urn, owner, in), in, nil)
	if err != nil {
		return resp, err
	}
	resp.Properties = in.state(req.Properties, table).Set(ownerKey, property.New(owner))
	return resp, nil
}

// Update writes what differs and treats rows that left the program as declared. What ignoreChanges names stays as it is.
func (r *rows) Update(ctx context.Context, req p.UpdateRequest) (p.UpdateResponse, error) {
	in, old := decode(req.Inputs), decode(req.State)
	if err := in.ignore(req.IgnoreChanges, old); err != nil {
		return p.UpdateResponse{}, err
	}
	owner := ownerOf(req.State)
	if req.DryRun {
		if err := r.foresee(ctx, req.Urn, in, owner); err != nil {
			return p.UpdateResponse{}, err
		}
		id := property.New(owner)
		if owner == "" {
			id = property.New(property.Computed)
		}
		return p.UpdateResponse{Properties: in.state(req.Inputs, nil).Set(ownerKey, id)}, nil
	}
	if owner == "" {
		owner = newOwner()
	}
	table, err := r.apply(ctx, r.owner(req.Urn, owner, in), in, old)
	if err != nil {
		return p.UpdateResponse{}, err
	}
	return p.UpdateResponse{Properties: in.state(req.Inputs, table).Set(ownerKey, property.New(owner))}, nil
}

// Delete treats all rows as rows that left the program.
func (r *rows) Delete(ctx context.Context, req p.DeleteRequest) error {
	in := decode(req.Properties)
	log := p.GetLogger(ctx)
	spec := in.spec()
	spec.Owner = r.owner(req.Urn, ownerOf(req.Properties), in)
	if in.file != "" {
		log.Info(fmt.Sprintf("the %d rows of %s stay in %s.%s: rows that come from a file are taken out by mode %s only", in.rowCount, in.file, in.schema, in.table, pgdb.Sync))
		in.onRemove = pgdb.Retain
	} else if in.onRemove == pgdb.Retain {
		log.Info(fmt.Sprintf("%d rows stay in %s.%s (onRemove: retain)", len(in.rows), in.schema, in.table))
	}
	if in.onRemove == pgdb.Retain && spec.Owner.ID == "" {
		return nil
	}
	gone, _, err := in.known()
	if err != nil {
		return err
	}
	err = r.connector.get(ctx).Change(pgdb.WithNotice(ctx, log.Info), func(ctx context.Context, tx pgx.Tx) error {
		_, err := pgdb.Remove(ctx, tx, spec, gone, in.onRemove)
		return err
	})
	if err != nil && in.onRemove == pgdb.Retain { // nothing of the table was to change
		log.Warning(fmt.Sprintf("the database still remembers that the rows of %s.%s belong to this resource: %v", in.schema, in.table, err))
		return nil
	}
	return err
}

// apply makes the table hold the rows. Nothing is written unless all of it can be.
func (r *rows) apply(ctx context.Context, owner pgdb.Owner, in, old *inputs) (*pgdb.Table, error) {
	if in.file != "" {
		return r.applyFile(ctx, owner, in)
	}
	declared, _, err := in.known()
	if err != nil {
		return nil, err
	}
	gone, goneKeys, err := in.gone(old)
	if err != nil {
		return nil, err
	}
	log := p.GetLogger(ctx)
	spec := in.spec()
	spec.Owner = owner
	var table *pgdb.Table
	var outcome pgdb.Outcome
	err = r.connector.get(ctx).Change(pgdb.WithNotice(ctx, log.Info), func(ctx context.Context, tx pgx.Tx) error {
		var err error
		table, outcome, err = pgdb.Apply(ctx, tx, spec, declared, gone, goneKeys, in.onRemove)
		return err
	})
	if err != nil {
		return nil, r.noTable(ctx, err)
	}
	retained := 0
	if in.onRemove == pgdb.Retain {
		retained = len(gone)
	}
	tell(log, table, outcome, len(declared), retained)
	return table, nil
}

// noTable says of a table that is not there what may be wrong.
func (r *rows) noTable(ctx context.Context, err error) error {
	if errors.Is(err, pgdb.ErrNoTable) {
		return fmt.Errorf("%w in %s; it has to be migrated before its rows can be written, or this is the wrong database", err, r.connector.get(ctx).Address())
	}
	return err
}

// tell says what was done.
func tell(log p.Logger, table *pgdb.Table, outcome pgdb.Outcome, declared, retained int) {
	var counts []string
	for _, c := range []struct {
		count int
		what  string
	}{
		{outcome.Inserted, "inserted"},
		{outcome.Updated, "changed"},
		{outcome.Removed, "removed"},
		{declared - outcome.Inserted - outcome.Updated, "left as found"},
		{retained, "no longer declared, but retained"},
	} {
		if c.count > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", c.count, c.what))
		}
	}
	if len(counts) > 0 {
		log.Info(fmt.Sprintf("%s: %s", table, strings.Join(counts, ", ")))
	}
	for _, warning := range outcome.Warnings {
		log.Warning(fmt.Sprintf("%s: %s", table, warning))
	}
}

// foresee tells, in a preview, what the database would not take and what adopting changes, as far as it can be seen. Its error
// is that more rows would go than may.
func (r *rows) foresee(ctx context.Context, urn presource.URN, in *inputs, owner string) error {
	if len(in.unknown) > 0 {
		return nil
	}
	log := p.GetLogger(ctx)
	declared, _, err := in.known()
	if err != nil {
		log.Warning(err.Error())
		return nil
	}
	if owner == "" {
		owner = "(new)" // no resource is called so
	}
	spec := in.spec()
	spec.Owner = r.owner(urn, owner, in)
	err = r.connector.get(ctx).Glance(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if in.file == "" {
			return pgdb.Check(ctx, tx, spec, declared)
		}
		table, changes, err := pgdb.ForeseeFile(ctx, tx, spec, in.source())
		if err == nil {
			log.Info(fmt.Sprintf("%s: %s", table, changes))
		}
		return err
	})
	var problems *pgdb.ProblemsError
	var tooMany *pgdb.TooManyError
	switch {
	case errors.As(err, &tooMany):
		return err
	case errors.As(err, &problems):
		log.Warning(fmt.Sprintf("as the database is now, these rows could not be written (a migration in the same update may mend that): %v", problems))
	case isUnreachable(err):
		r.connector.unseen(ctx, err)
	case errors.Is(err, pgdb.ErrNoTable):
		log.Info(fmt.Sprintf("%s.%s does not exist yet, so its rows could not be compared", in.schema, in.table))
	case err != nil:
		log.Warning(fmt.Sprintf("the rows could not be compared with %s.%s: %v", in.schema, in.table, err))
	}
	return nil
}

// Read compares the table with the rows that the program owns. What cannot be read stays as it was known, and is reported:
// not seen is never green. Only a table that does not exist means that the resource is gone.
func (r *rows) Read(ctx context.Context, req p.ReadRequest) (p.ReadResponse, error) {
	if in := decode(req.Inputs); in.file != "" {
		return r.readFile(ctx, req, in)
	}
	if req.Properties.Get("rows").IsNull() && req.Inputs.Get("rows").IsNull() {
		return r.adopt(ctx, req)
	}
	kept := p.ReadResponse{ID: req.ID, Properties: req.Properties, Inputs: req.Inputs}
	source := req.Inputs
	if source.Get("rows").IsNull() {
		source = req.Properties
	}
	in := decode(source)
	declared, positions, err := in.known()
	if err != nil {
		return kept, err
	}
	var table *pgdb.Table
	var differences []pgdb.Difference
	err = r.connector.get(ctx).Look(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var err error
		table, differences, err = pgdb.Compare(ctx, tx, in.spec(), declared)
		return err
	})
	switch {
	case errors.Is(err, pgdb.ErrNoTable):
		return p.ReadResponse{}, nil
	case err != nil:
		kept.Properties = kept.Properties.Set(notSeenKey, property.New(notSeen(err)))
		return kept, nil
	}
	in.report(ctx, table, positions, unheard(in, decode(req.Properties), table, positions, differences))
	in.observe(table, positions, differences)
	kept.Properties = in.state(source.Delete(notSeenKey), table)
	if owner := ownerOf(req.Properties); owner != "" {
		kept.Properties = kept.Properties.Set(ownerKey, property.New(owner))
	}
	return kept, nil
}

// unheard leaves those differences that the state does not know from an earlier look, such as one that ignoreChanges left.
func unheard(in, known *inputs, table *pgdb.Table, positions []int, differences []pgdb.Difference) []pgdb.Difference {
	before := map[string]row{}
	for _, r := range known.rows {
		before[r.label] = r
	}
	var left []pgdb.Difference
	for _, d := range differences {
		was, had := before[in.rows[positions[d.Index]].label]
		fresh := pgdb.Difference{Index: d.Index, Missing: d.Missing, Live: maps.Clone(d.Live)}
		maps.DeleteFunc(fresh.Live, func(c string, live any) bool {
			cell, ok := was.cells[c]
			if !ok {
				return false
			}
			plain, err := fromProperty(cell)
			return err == nil && value.Same(plain, live, table.Columns[c].Type)
		})
		if d.Missing && had || len(fresh.Live) > 0 {
			left = append(left, fresh)
		}
	}
	return left
}

// maxReported bounds how many rows a refresh names outside its diff.
const maxReported = 20

// report names the rows and columns that somebody changed. The diff of a refresh does so too, but is only shown on request.
func (in *inputs) report(ctx context.Context, table *pgdb.Table, positions []int, differences []pgdb.Difference) {
	log := p.GetLogger(ctx)
	var dropped []string
	for _, r := range in.rows {
		for c := range r.cells {
			if _, there := table.Columns[c]; !there && !slices.Contains(dropped, c) {
				dropped = append(dropped, c)
			}
		}
	}
	if slices.Sort(dropped); len(dropped) > 0 {
		log.Info(fmt.Sprintf("%s has lost the column %s", table, strings.Join(dropped, ", ")))
	}
	for n, d := range differences {
		if n == maxReported {
			log.Info(fmt.Sprintf("%s: %d more rows differ", table, len(differences)-n))
			return
		}
		title := in.title(in.rows[positions[d.Index]])
		if d.Missing {
			log.Info(fmt.Sprintf("%s, row %s: was deleted", table, title))
			continue
		}
		log.Info(fmt.Sprintf("%s, row %s: %s", table, title, changes(d.Live)))
	}
}

// changes words what the table has in columns that differ. The engine draws a NULL like a column that is gone.
func changes(live map[string]any) string {
	var null, other []string
	for _, c := range slices.Sorted(maps.Keys(live)) {
		if live[c] == nil {
			null = append(null, c+" is NULL")
		} else {
			other = append(other, c)
		}
	}
	if len(other) > 0 {
		null = append(null, strings.Join(other, ", ")+" changed")
	}
	return strings.Join(null, "; ")
}

// adopt reads the rows of a table that an import names.
func (r *rows) adopt(ctx context.Context, req p.ReadRequest) (p.ReadResponse, error) {
	id, err := rowid.ParseID(req.ID)
	if err != nil {
		return p.ReadResponse{}, err
	}
	spec := pgdb.Spec{
		Schema: id.Schema, Table: id.Table, Keys: id.KeyColumns,
		CreatedAt: id.CreatedAtColumn, UpdatedAt: id.UpdatedAtColumn, SoftDelete: id.SoftDeleteColumn,
	}
	spec.Owner = r.owner(req.Urn, "(imported)", &inputs{schema: id.Schema, table: id.Table})
	var table *pgdb.Table
	var found []pgdb.Row
	err = r.connector.get(ctx).Look(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var err error
		if table, found, err = pgdb.List(ctx, tx, spec, id.Columns); err != nil {
			return err
		}
		return pgdb.Unowned(ctx, tx, spec, table, found)
	})
	if errors.Is(err, pgdb.ErrNoTable) {
		return p.ReadResponse{}, nil
	}
	if err != nil {
		return p.ReadResponse{}, err
	}
	list := make([]property.Value, len(found))
	for i, row := range found {
		list[i] = toProperty(row.Values)
	}
	inputs := property.NewMap(map[string]property.Value{
		"schema": property.New(id.Schema), "table": property.New(id.Table), "keyColumns": stringsProperty(id.KeyColumns),
		"rows": property.New(list), "onRemove": property.New(string(pgdb.Retain)),
	})
	for key, column := range map[string]string{
		"createdAtColumn": id.CreatedAtColumn, "updatedAtColumn": id.UpdatedAtColumn, "softDeleteColumn": id.SoftDeleteColumn,
	} {
		if column != "" {
			inputs = inputs.Set(key, property.New(column))
		}
	}
	in := decode(inputs)
	return p.ReadResponse{ID: in.id(), Inputs: inputs, Properties: in.state(inputs, table)}, nil
}

func stringsProperty(list []string) property.Value {
	values := make([]property.Value, len(list))
	for i, s := range list {
		values[i] = property.New(s)
	}
	return property.New(values)
}
