package resource

import (
	"reflect"
	"strings"

	"github.com/pulumi/pulumi-go-provider/infer"
)

// doc says in the schema what a property is, with an example of it as JSON.
type doc struct{ text, example string }

func (d doc) String() string { return d.text + " For example `" + d.example + "`." }

// describe gives the fields of the struct that v points to the descriptions of their keys.
func describe(a infer.Annotator, v any, docs map[string]doc) {
	fields := reflect.ValueOf(v).Elem()
	for i := range fields.NumField() {
		key, _, _ := strings.Cut(fields.Type().Field(i).Tag.Get("pulumi"), ",")
		if d, ok := docs[key]; ok {
			a.Describe(fields.Field(i).Addr().Interface(), d.String())
		}
	}
}
