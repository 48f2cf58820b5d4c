package resource

import (
	"testing"

	"plan-charge/provider/internal/pgdb"
)

func TestPreviewSaysWhatBecomesOfRemovedRows(t *testing.T) {
	for removal, want := range map[pgdb.Removal]string{
		pgdb.Retain:     "rows that leave the program, and stay in public.t (onRemove: retain): 3",
		pgdb.SoftDelete: "rows that leave the program, and are marked as deleted in public.t (onRemove: softDelete): 3: id=1; id=2 and 1 more",
		pgdb.Delete:     "rows that leave the program, and are deleted for good in public.t (onRemove: delete): 3: id=1; id=2 and 1 more",
	} {
		if got := leaving(&inputs{schema: "public", table: "t", onRemove: removal}, 3, []string{"id=1", "id=2"}); got != want {
			t.Errorf("got %s", got)
		}
	}
	if got := leaving(&inputs{schema: "public", table: "t", onRemove: pgdb.Delete}, 1, nil); got != "rows that leave the program, and are deleted for good in public.t (onRemove: delete): 1" {
		t.Errorf("rows with secret keys: %s", got)
	}
}
