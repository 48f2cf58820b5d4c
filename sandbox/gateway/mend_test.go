package gateway

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestInstancesAreFilteredByResourceID(t *testing.T) {
	const two = `<DBInstances><DBInstance><DBInstanceIdentifier>a</DBInstanceIdentifier><DbiResourceId>db-A</DbiResourceId></DBInstance>` +
		`<DBInstance><DBInstanceIdentifier>b</DBInstanceIdentifier><DbiResourceId>db-B</DbiResourceId></DBInstance></DBInstances>`
	filter := func(values ...string) url.Values {
		form := url.Values{"Filters.Filter.1.Name": {"dbi-resource-id"}}
		for i, v := range values {
			form.Set("Filters.Filter.1.Values.Value."+string(rune('1'+i)), v)
		}
		return form
	}
	for _, c := range []struct {
		name string
		form url.Values
		want string // the instances' names
	}{
		{"no filter", url.Values{}, "ab"},
		{"one of them", filter("db-B"), "b"},
		{"both", filter("db-B", "db-A"), "ab"},
		{"one that is gone", filter("db-C"), ""},
		{"another filter", url.Values{"Filters.Filter.1.Name": {"engine"}, "Filters.Filter.1.Values.Value.1": {"postgres"}}, "ab"},
	} {
		m := &mends{exports: map[string][]string{}}
		r := &response{status: http.StatusOK, body: []byte(two)}
		m.instances(context.Background(), &call{service: "rds", action: "DescribeDBInstances", form: c.form}, r)
		got := ""
		for _, name := range []string{"a", "b"} {
			if strings.Contains(string(r.body), "<DBInstanceIdentifier>"+name+"<") {
				got += name
			}
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
