// Package announce says, in a preview too, what a change does that its properties do not tell.
package announce

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// Change is a resource's inputs before and after; those before are nil of one that is created or replaced.
type Change struct{ Old, New resource.PropertyMap }

// text is an input before and after as text, "" where it is not known.
func (c Change) text(key resource.PropertyKey) (old, now string) {
	plain := func(v resource.PropertyValue) string {
		if v.IsString() { // neither secret nor computed
			return v.StringValue()
		}
		return ""
	}
	return plain(c.Old[key]), plain(c.New[key])
}

// Hooks print what say returns of a step that creates, replaces or updates a resource, as its component's.
func Hooks(ctx *pulumi.Context, name string, component pulumi.Resource, say func(Change) string) ([]*pulumi.ResourceHook, error) {
	hook, err := ctx.RegisterResourceHook(name+"-announced", func(args *pulumi.ResourceHookArgs) error {
		if said := say(Change{args.OldInputs, args.NewInputs}); said != "" {
			return ctx.Log.Info(said, &pulumi.LogArgs{Resource: component})
		}
		return nil
	}, &pulumi.ResourceHookOptions{OnDryRun: true})
	if err != nil {
		return nil, fmt.Errorf("announcing %s: %w", name, err)
	}
	return []*pulumi.ResourceHook{hook}, nil
}

// Interruption says what a change of an RDS instance interrupts, and when.
func Interruption(c Change, immediately, standby bool) string {
	var what []string
	for _, setting := range []struct {
		key   resource.PropertyKey
		title string
	}{{"instanceClass", "class"}, {"engineVersion", "PostgreSQL"}} {
		if old, now := c.text(setting.key); old != "" && now != "" && old != now {
			what = append(what, fmt.Sprintf("%s %s => %s", setting.title, old, now))
		}
	}
	if len(what) == 0 {
		return ""
	}
	long, when := "for some minutes", "in its next maintenance window (database.immediately: true makes it at once)"
	if standby {
		long = "for a failover, about a minute where only the class changes"
	}
	if immediately {
		when = "at once, because of database.immediately"
	}
	return fmt.Sprintf("%s: interrupts the database %s, %s", strings.Join(what, ", "), long, when)
}

// Made says that a database is made empty, and what becomes of one that there is.
func Made(identifier string, replaced bool, onDestroy string) string {
	if !replaced {
		return fmt.Sprintf("%s is made empty; one of this name that there is keeps its data, and the update fails, unless database.replace names it", identifier)
	}
	return fmt.Sprintf("%s is made empty; one of this name that there is goes with its data (database.replace; onDestroy: %s)", identifier, onDestroy)
}

// Rollout says what a change of a rollout does; a first one takes nobody's place.
func Rollout(c Change, tasks int) string {
	old, _ := c.text("taskDefinition")
	if old == "" {
		return ""
	}
	noun := "tasks"
	if tasks == 1 {
		noun = "task"
	}
	return fmt.Sprintf("rolls out at least %d %s; those of %s serve until the new ones are healthy", tasks, noun, old[strings.LastIndexByte(old, '/')+1:])
}

// Migration says that an image migrates, or why it does not.
func Migration(image string, command []string, notMigrated string) string {
	if notMigrated != "" {
		return notMigrated
	}
	return fmt.Sprintf("migrates: a task of %s runs `%s` before anything is rolled out", image, strings.Join(command, " "))
}
