package review

import (
	"reflect"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
)

// found lists what a refresh found to be other than the state says: Old is declared, New is found.
func found(m apitype.StepEventMetadata) []Change {
	if m.Old == nil || m.New == nil {
		return nil
	}
	d := differ{typ: m.Type}
	for path, diff := range m.DetailedDiff {
		old, new := at(m.Old.Outputs, path), at(m.New.Outputs, path)
		if diff.InputDiff || reflect.DeepEqual(old, new) {
			if o, n := at(m.Old.Inputs, path), at(m.New.Inputs, path); !reflect.DeepEqual(o, n) {
				old, new = o, n
			}
		}
		d.at(path, old, new)
	}
	if len(m.DetailedDiff) == 0 {
		for _, key := range keysOf(m.Old.Outputs, m.New.Outputs) {
			d.walk(key, m.Old.Outputs[key], m.New.Outputs[key])
		}
	}
	// Where a list has another element, the engine names what stands in it too. What is hidden may differ unseen.
	same := func(c Change) bool { return c.Old == c.New && c.Old != hiddenValue && c.Old != secretValue }
	all := d.sorted()
	if differ := slices.DeleteFunc(slices.Clone(all), same); len(differ) > 0 {
		return differ
	}
	return all
}
