package env_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"plan-charge/internal/env"
)

func reader(vars map[string]string) *env.Reader {
	return env.New(func(key string) (string, bool) { v, ok := vars[key]; return v, ok })
}

func TestValues(t *testing.T) {
	r := reader(map[string]string{"S": " text ", "L": "a, b,,c ", "J": `["x"]`, "D": "90s"})
	var list []string
	r.JSON("J", "a list", `["a"]`, &list)
	if r.Required("S", "", "") != "text" || r.Optional("X", "else") != "else" || !slices.Equal(r.List("L", "", ""), []string{"a", "b", "c"}) ||
		!slices.Equal(list, []string{"x"}) || r.Duration("D", 0) != 90*time.Second || r.Duration("X", time.Hour) != time.Hour {
		t.Error("a value was read wrongly")
	}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
}

func TestEveryMistakeAtOnce(t *testing.T) {
	r := reader(map[string]string{"S": "  ", "L": " , ", "J": `{"a":1}`, "J2": `[] []`, "D": "-1s", "D2": "soon"})
	var object struct{ B int }
	var list []string
	r.Required("S", "a text", "x")
	r.List("L", "a list", "a,b")
	r.JSON("J", "an object", "{}", &object)
	r.JSON("J2", "a list", "[]", &list)
	r.Duration("D", 0)
	r.Duration("D2", 0)
	err := fmt.Sprint(r.Err())
	for _, part := range []string{"S: found nothing; allowed: a text; for example x", "L: found", "J: found", `unknown field "a"`, "J2: found", `D: found "-1s"`, "D2: found"} {
		if !strings.Contains(err, part) {
			t.Errorf("%q is not in:\n%s", part, err)
		}
	}
}
