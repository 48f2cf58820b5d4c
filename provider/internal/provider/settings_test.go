package provider_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"plan-charge/provider/internal/database"
)

type provider_settings = database.Settings

func tryConnect(t *testing.T, s database.Settings) error {
	db := database.New(s)
	t.Cleanup(db.Close)
	return db.Look(context.Background(), func(context.Context, pgx.Tx) error { return nil })
}
