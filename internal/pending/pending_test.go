package pending_test

import (
	"context"
	"encoding/xml"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"plan-charge/internal/awsquery"
	"plan-charge/internal/pending"
)

// answers gives the same answer to every call.
type answers struct {
	text string
	err  error
}

func (a answers) Call(_ context.Context, _ awsquery.Service, action string, form url.Values, out any) error {
	if a.err != nil || action != "DescribeDBInstances" || form.Get("DBInstanceIdentifier") != "db" {
		return errors.Join(a.err, errors.New(action))
	}
	return xml.Unmarshal([]byte(a.text), out)
}

const one = `<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances><DBInstance>
  <DBInstanceClass>db.t4g.micro</DBInstanceClass><AllocatedStorage>20</AllocatedStorage><MultiAZ>false</MultiAZ>
  <PreferredMaintenanceWindow>sun:05:00-sun:06:00</PreferredMaintenanceWindow>
  <PendingModifiedValues>PENDING</PendingModifiedValues>
</DBInstance></DBInstances></DescribeDBInstancesResult></DescribeDBInstancesResponse>`

func TestPending(t *testing.T) {
	const window = "sun:05:00-sun:06:00"
	for name, c := range map[string]struct {
		pending string
		want    []pending.Change
	}{
		"nothing": {"", nil},
		"a class, a size and a standby": {
			"<MultiAZ>true</MultiAZ><DBInstanceClass> db.t4g.large </DBInstanceClass><AllocatedStorage>40</AllocatedStorage>",
			[]pending.Change{{"allocatedStorage", "20", "40", window}, {"instanceClass", "db.t4g.micro", "db.t4g.large", window}, {"multiAz", "false", "true", window}},
		},
		"a password, whatever is said of it": {"<MasterUserPassword>planted</MasterUserPassword>", []pending.Change{{"password", "", "", window}}},
		"what is there already":              {"<DBInstanceClass>db.t4g.micro</DBInstanceClass>", nil},
		"what nobody knows yet":              {"<NewThing>2</NewThing>", []pending.Change{{"newThing", "", "2", window}}},
	} {
		got, err := pending.Of(context.Background(), answers{text: strings.Replace(one, "PENDING", c.pending, 1)}, "db")
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, c.want)
		}
	}
	for name, a := range map[string]answers{
		"no rights": {err: errors.New("AccessDenied")}, "none": {text: "<DescribeDBInstancesResponse/>"},
	} {
		if got, err := pending.Of(context.Background(), a, "db"); err == nil || got != nil {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}
