package resource

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

// fromProperty turns a known value into plain Go: nil, bool, float64, string, []any or map[string]any.
func fromProperty(v property.Value) (any, error) {
	switch {
	case v.IsNull():
		return nil, nil
	case v.IsBool():
		return v.AsBool(), nil
	case v.IsNumber():
		return v.AsNumber(), nil
	case v.IsString():
		return v.AsString(), nil
	case v.IsArray():
		list := make([]any, 0, v.AsArray().Len())
		for _, e := range v.AsArray().All {
			plain, err := fromProperty(e)
			if err != nil {
				return nil, err
			}
			list = append(list, plain)
		}
		return list, nil
	case v.IsMap():
		m := make(map[string]any, v.AsMap().Len())
		for k, e := range v.AsMap().All {
			plain, err := fromProperty(e)
			if err != nil {
				return nil, err
			}
			m[k] = plain
		}
		return m, nil
	}
	return nil, fmt.Errorf("is of a kind that no column can hold; strings, numbers, bools, lists, objects and null are allowed")
}

// toProperty turns what fromProperty makes back.
func toProperty(v any) property.Value {
	switch v := v.(type) {
	case bool:
		return property.New(v)
	case float64:
		return property.New(v)
	case string:
		return property.New(v)
	case []any:
		list := make([]property.Value, len(v))
		for i, e := range v {
			list[i] = toProperty(e)
		}
		return property.New(list)
	case map[string]any:
		m := make(map[string]property.Value, len(v))
		for k, e := range v {
			m[k] = toProperty(e)
		}
		return property.New(m)
	}
	return property.New(property.Null)
}
