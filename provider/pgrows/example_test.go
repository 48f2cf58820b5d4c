package pgrows_test

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/provider/pgrows"
)

// Two organizations that every database of the application has. The database sets the times, and an organization that
// leaves the program is marked as deleted.
func ExampleNewRows() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		database, err := pgrows.NewProvider(ctx, "database", &pgrows.ProviderArgs{
			Host:     pulumi.String("db.example.com"),
			Database: pulumi.String("plan_charge"),
			Username: pulumi.String("owner"),
			Password: pulumi.String("from a secret"),
		})
		if err != nil {
			return err
		}
		organizations, err := pgrows.NewRows(ctx, "organizations", &pgrows.RowsArgs{
			Table:      pulumi.String("organizations"),
			KeyColumns: pulumi.ToStringArray([]string{"id"}),
			Rows: pulumi.Array{
				pulumi.Map{"id": pulumi.Int(1), "name": pulumi.String("NDA Partners")},
				pulumi.Map{"id": pulumi.Int(2), "name": pulumi.String("Default Organization")},
			},
			CreatedAtColumn:  pulumi.String("created_at"),
			UpdatedAtColumn:  pulumi.String("updated_at"),
			SoftDeleteColumn: pulumi.String("deleted_at"),
			OnRemove:         pulumi.String(pgrows.SoftDelete),
		}, pulumi.Provider(database))
		if err != nil {
			return err
		}
		ctx.Export("organizations", organizations.RowCount)
		return nil
	})
}

// A table that is exactly what a file says. No more than five rows go in one update.
func ExampleNewRows_file() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		database, err := pgrows.NewProvider(ctx, "database", &pgrows.ProviderArgs{
			Host:     pulumi.String("db.example.com"),
			Database: pulumi.String("plan_charge"),
			Username: pulumi.String("owner"),
			Password: pulumi.String("from a secret"),
		})
		if err != nil {
			return err
		}
		countries, err := pgrows.NewRows(ctx, "countries", &pgrows.RowsArgs{
			Table:      pulumi.String("countries"),
			KeyColumns: pulumi.ToStringArray([]string{"code"}),
			File:       pulumi.String("countries.csv"),
			Mode:       pulumi.String(pgrows.Sync),
			OnRemove:   pulumi.String(pgrows.Delete),
			MaxDeletes: pulumi.Int(5),
		}, pulumi.Provider(database))
		if err != nil {
			return err
		}
		ctx.Export("countries", countries.RowCount)
		return nil
	})
}

// A migration that has the generation among its triggers runs again when somebody changed the database's revision by hand.
func ExampleNewRevision() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		revision, err := pgrows.NewRevision(ctx, "revision", nil)
		if err != nil {
			return err
		}
		ctx.Export("generation", revision.Generation)
		return nil
	})
}

// A role is given its password again when it could not log in, because what it is set to depends on the generation.
func ExampleNewLogin() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		login, err := pgrows.NewLogin(ctx, "login", &pgrows.LoginArgs{
			Username: pulumi.String("app"),
			Password: pulumi.String("from a secret"),
		})
		if err != nil {
			return err
		}
		ctx.Export("generation", login.Generation)
		return nil
	})
}
