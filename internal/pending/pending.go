// Package pending tells which changes of a database instance wait for its maintenance window.
package pending

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"plan-charge/internal/awsquery"
)

// Change is one setting that is to change.
type Change struct {
	Setting string // as Pulumi names the property
	Now     string
	Then    string // empty of a password
	Window  string // in UTC, for example sun:05:00-sun:06:00
}

// Caller makes calls of AWS.
type Caller interface {
	Call(ctx context.Context, s awsquery.Service, action string, form url.Values, out any) error
}

// setting is an element of an answer with a text in it.
type setting struct {
	XMLName xml.Name
	Text    string `xml:",chardata"`
}

// Of asks what waits for an instance's window, sorted by setting.
func Of(ctx context.Context, aws Caller, instance string) ([]Change, error) {
	var out struct {
		Instances []struct {
			Window  string `xml:"PreferredMaintenanceWindow"`
			Pending struct {
				Settings []setting `xml:",any"`
			} `xml:"PendingModifiedValues"`
			Settings []setting `xml:",any"`
		} `xml:"DescribeDBInstancesResult>DBInstances>DBInstance"`
	}
	if err := aws.Call(ctx, awsquery.RDS, "DescribeDBInstances", url.Values{"DBInstanceIdentifier": {instance}}, &out); err != nil {
		return nil, fmt.Errorf("describe database instance %s: %w", instance, err)
	}
	if len(out.Instances) != 1 {
		return nil, fmt.Errorf("describe database instance %s: found %d", instance, len(out.Instances))
	}
	i := out.Instances[0]
	now := map[string]string{}
	for _, s := range i.Settings {
		now[s.XMLName.Local] = strings.TrimSpace(s.Text)
	}
	var all []Change
	for _, s := range i.Pending.Settings {
		name := s.XMLName.Local
		c := Change{Setting: property(name), Now: now[name], Then: strings.TrimSpace(s.Text), Window: i.Window}
		switch {
		case name == "MasterUserPassword":
			c.Now, c.Then = "", ""
		case c.Now == c.Then:
			continue
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Change) int { return strings.Compare(a.Setting, b.Setting) })
	return all, nil
}

// properties are Pulumi's names where they are not RDS's own with a small letter in front.
var properties = map[string]string{
	"DBInstanceClass": "instanceClass", "DBInstanceIdentifier": "identifier", "DBSubnetGroupName": "dbSubnetGroupName",
	"MultiAZ": "multiAz", "CACertificateIdentifier": "caCertIdentifier", "MasterUserPassword": "password",
	"IAMDatabaseAuthenticationEnabled": "iamDatabaseAuthenticationEnabled",
}

func property(name string) string {
	if p, ok := properties[name]; ok {
		return p
	}
	runes := []rune(name)
	runes[0] = unicode.ToLower(runes[0])
	return string(runes)
}
