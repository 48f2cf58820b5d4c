package resource

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/provider/internal/pgdb"
	"plan-charge/provider/internal/rowfile"
)

const (
	// digestKey is the digest of a file: check adds it to the inputs, so that the file itself travels nowhere.
	digestKey = "fileDigest"
	// driftKey is the output that says what the last refresh found different from the file.
	driftKey = "drift"
)

// readFile takes what concerns a file.
func (in *inputs) readFile(m property.Map) {
	in.text(m, "file", &in.file)
	in.text(m, digestKey, &in.digest)
	in.text(m, "changesFile", &in.changesFile)
	var mode string
	in.text(m, "mode", &mode)
	if mode != "" {
		in.mode = pgdb.Mode(mode)
	}
	switch v := m.Get("maxDeletes"); {
	case v.IsComputed():
		in.unknown["maxDeletes"] = true
	case v.IsNull():
	case !v.IsNumber() || v.AsNumber() != math.Trunc(v.AsNumber()) || v.AsNumber() < 0 || v.AsNumber() > math.MaxInt32:
		in.refuse("maxDeletes", "has to be a whole number of rows, such as 100")
	default:
		in.maxDeletes = int(v.AsNumber())
	}
	if v := m.Get("rowCount"); v.IsNumber() { // of a state
		in.rowCount = int(v.AsNumber())
	}
}

// checkSource refuses rows that come from nowhere or from two places, and what contradicts where they come from.
func (in *inputs) checkSource(m property.Map) {
	list, file := !m.Get("rows").IsNull(), !m.Get("file").IsNull()
	switch {
	case list && file:
		in.refuse("file", "is given beside rows: the rows of a table come from one of the two")
	case !list && !file:
		in.refuse("rows", "is missing, and so is file: give one of the two")
	}
	if !file {
		for _, key := range []string{"mode", "maxDeletes", "changesFile"} {
			if !m.Get(key).IsNull() {
				in.refuse(key, "is for rows that come from a file")
			}
		}
		return
	}
	if in.file != "" {
		if err := rowfile.CheckName(in.file); err != nil {
			in.refuse("file", "is %q, but %v", in.file, err)
		}
	} else if !in.unknown["file"] {
		in.refuse("file", "is empty, but has to be the path of a file")
	}
	switch in.mode {
	case pgdb.Sync:
		if in.onRemove == pgdb.Retain && !in.unknown["onRemove"] {
			in.refuse("onRemove", "has to say what becomes of rows that are not in the file (mode %s): %s or %s", pgdb.Sync, pgdb.SoftDelete, pgdb.Delete)
		}
	case pgdb.Insert, pgdb.Upsert:
		if in.onRemove != pgdb.Retain {
			in.refuse("onRemove", "is %s, but in mode %s a row that leaves the file stays in the table: leave onRemove out, or make the mode %s", in.onRemove, in.mode, pgdb.Sync)
		}
		if in.maxDeletes > 0 {
			in.refuse("maxDeletes", "is for mode %s: in mode %s no row goes", pgdb.Sync, in.mode)
		}
	default:
		in.refuse("mode", "is %q, but has to be %s, %s or %s", in.mode, pgdb.Insert, pgdb.Upsert, pgdb.Sync)
	}
}

// checkFile reads the file and refuses what no table would take. One that was checked before like this is only recognised.
func (in *inputs) checkFile(before *inputs) {
	if in.file == "" || in.unknown["keyColumns"] || in.unknown["columns"] || in.unknown["createdAtColumn"] || in.unknown["updatedAtColumn"] {
		return
	}
	digest, err := rowfile.Digest(in.file)
	if err != nil {
		in.refuse("file", "%s: %v", in.file, err)
		return
	}
	in.digest = digest
	if before.digest == digest && before.file == in.file && slices.Equal(before.keys, in.keys) && slices.Equal(before.columns, in.columns) &&
		before.createdAt == in.createdAt && before.updatedAt == in.updatedAt {
		return
	}
	r := rowfile.Open(in.source().File)
	defer r.Close()
	for r.Next() {
	}
	for _, problem := range r.Problems() {
		in.refuse("file", "%s: %s", in.file, problem)
	}
}

// source is what the database is told about the file.
func (in *inputs) source() pgdb.Source {
	f := rowfile.File{Path: in.file, Keys: in.keys}
	for _, c := range append(slices.Clone(in.columns), in.softDelete) {
		if c != "" && c != in.createdAt && c != in.updatedAt && !slices.Contains(in.keys, c) {
			f.Filled = append(f.Filled, c)
		}
	}
	for _, c := range []string{in.createdAt, in.updatedAt} {
		if c != "" {
			f.Owned = append(f.Owned, c)
		}
	}
	return pgdb.Source{File: f, Digest: in.digest, Mode: in.mode, Removal: in.onRemove, MaxDeletes: in.maxDeletes, Report: in.changesFile}
}

// fileState is what is remembered of rows that come from a file: nothing that grows with them.
func (in *inputs) fileState(m property.Map, table *pgdb.Table) property.Map {
	if table == nil {
		return m.Set("rowCount", property.New(property.Computed)).Set("columnTypes", property.New(property.Computed)).Delete("changesFile")
	}
	return m.Set("rowCount", property.New(float64(in.rowCount))).Set("columnTypes", typesProperty(table.Types(table.Order))).Delete("changesFile")
}

// applyFile makes the table hold the rows of the file.
func (r *rows) applyFile(ctx context.Context, owner pgdb.Owner, in *inputs) (*pgdb.Table, error) {
	log := p.GetLogger(ctx)
	spec := in.spec()
	spec.Owner = owner
	var table *pgdb.Table
	var changes pgdb.Changes
	var outcome pgdb.Outcome
	err := r.connector.get(ctx).Change(pgdb.WithNotice(ctx, log.Info), func(ctx context.Context, tx pgx.Tx) error {
		var err error
		table, changes, outcome, err = pgdb.ApplyFile(ctx, tx, spec, in.source())
		return err
	})
	if err != nil {
		return nil, r.noTable(ctx, err)
	}
	in.rowCount = changes.Rows
	tell(log, table, outcome, changes.Rows, 0)
	return table, nil
}

// readFile compares the table with the file that was last applied. Where that is not at hand nobody could look.
func (r *rows) readFile(ctx context.Context, req p.ReadRequest, in *inputs) (p.ReadResponse, error) {
	kept := p.ReadResponse{ID: req.ID, Properties: req.Properties, Inputs: req.Inputs}
	unseen := func(err error) (p.ReadResponse, error) {
		kept.Properties = kept.Properties.Set(notSeenKey, property.New(notSeen(err)))
		return kept, nil
	}
	digest, err := rowfile.Digest(in.file)
	if err != nil {
		digest = ""
	}
	var table *pgdb.Table
	var changes pgdb.Changes
	looked := r.connector.get(ctx).Look(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var err error
		if digest != in.digest {
			_, err = pgdb.Inspect(ctx, tx, in.schema, in.table)
			return err
		}
		table, changes, err = pgdb.CompareFile(ctx, tx, in.spec(), in.source())
		return err
	})
	switch {
	case errors.Is(looked, pgdb.ErrNoTable):
		return p.ReadResponse{}, nil
	case looked != nil:
		return unseen(looked)
	case err != nil:
		return unseen(fmt.Errorf("%s: %w; the table is compared with it", in.file, err))
	case digest != in.digest:
		return unseen(fmt.Errorf("%s has changed since its rows were written, so it cannot be told what changed in the table: the next update compares and mends all of it", in.file))
	}
	kept.Properties = kept.Properties.Delete(notSeenKey, driftKey)
	if changes.Any() {
		kept.Properties = kept.Properties.Set(driftKey, property.New(changes.Drift()))
		p.GetLogger(ctx).Info(fmt.Sprintf("%s: %s", table, changes.Drift()))
	}
	return kept, nil
}
