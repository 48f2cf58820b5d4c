package announce_test

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"plan-charge/internal/announce"
)

func change(key, old, now string) announce.Change {
	of := func(value string) resource.PropertyMap {
		return resource.PropertyMap{resource.PropertyKey(key): resource.NewProperty(value), "other": resource.NewProperty(1.0)}
	}
	return announce.Change{Old: of(old), New: of(now)}
}

func TestWhatAChangeDoes(t *testing.T) {
	class := change("instanceClass", "db.t4g.small", "db.t4g.large")
	const arn = "arn:aws:ecs:eu-west-3:123456789012:task-definition/backend:14"
	unknown := change("taskDefinition", arn, "")
	unknown.New["taskDefinition"] = resource.MakeComputed(resource.NewProperty(""))
	secret := change("instanceClass", "a", "b")
	secret.New["instanceClass"] = resource.MakeSecret(secret.New["instanceClass"])
	for name, tc := range map[string]struct{ got, want string }{
		"a class, later":    {announce.Interruption(class, false, false), "class db.t4g.small => db.t4g.large: interrupts the database for some minutes, in its next maintenance window (database.immediately: true makes it at once)"},
		"a class, at once":  {announce.Interruption(class, true, false), "class db.t4g.small => db.t4g.large: interrupts the database for some minutes, at once, because of database.immediately"},
		"with a standby":    {announce.Interruption(class, true, true), "class db.t4g.small => db.t4g.large: interrupts the database for a failover, about a minute where only the class changes, at once, because of database.immediately"},
		"a version":         {announce.Interruption(change("engineVersion", "15", "16"), true, false), "PostgreSQL 15 => 16: interrupts the database for some minutes, at once, because of database.immediately"},
		"another setting":   {announce.Interruption(change("storageType", "gp2", "gp3"), true, false), ""},
		"a first instance":  {announce.Interruption(announce.Change{New: class.New}, true, false), ""},
		"what is secret":    {announce.Interruption(secret, true, false), ""},
		"an empty database": {announce.Made("db", false, "snapshot"), "db is made empty; one of this name that there is keeps its data, and the update fails, unless database.replace names it"},
		"one replaced":      {announce.Made("db", true, "snapshot"), "db is made empty; one of this name that there is goes with its data (database.replace; onDestroy: snapshot)"},
		"a rollout":         {announce.Rollout(unknown, 2), "rolls out at least 2 tasks; those of backend:14 serve until the new ones are healthy"},
		"one task":          {announce.Rollout(unknown, 1), "rolls out at least 1 task; those of backend:14 serve until the new ones are healthy"},
		"a first rollout":   {announce.Rollout(announce.Change{New: unknown.New}, 2), ""},
		"a migration":       {announce.Migration("backend:2", []string{"alembic", "upgrade", "head"}, ""), "migrates: a task of backend:2 runs `alembic upgrade head` before anything is rolled out"},
		"one that is older": {announce.Migration("backend:1", nil, "not migrated"), "not migrated"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", name, tc.got, tc.want)
		}
	}
}
