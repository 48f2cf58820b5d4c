package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// mends are the small differences between the emulator's answers and those of AWS.
type mends struct {
	file   string
	api    *awsAPI
	docker *docker
	log    *slog.Logger

	mu sync.Mutex
	// exports are the logs that a database instance exports, by its identifier. The emulator forgets them.
	exports map[string][]string
}

func newMends(file string, api *awsAPI, d *docker, log *slog.Logger) (*mends, error) {
	m := &mends{file: file, api: api, docker: d, log: log, exports: map[string][]string{}}
	return m, readState(file, &m.exports)
}

// save keeps the exports. m.mu is held.
func (m *mends) save() {
	if err := writeState(m.file, m.exports); err != nil {
		m.log.Error("keep what databases export", "error", err)
	}
}

// before answers calls about what the emulator does not have.
func (m *mends) before(ctx context.Context, c *call) *response {
	switch c.service + "." + c.action {
	case "ec2.DescribeManagedPrefixLists", "ec2.GetManagedPrefixListEntries":
		return m.prefixList(c)
	case "ec2.AuthorizeSecurityGroupEgress", "ec2.AuthorizeSecurityGroupIngress", "ec2.RevokeSecurityGroupEgress", "ec2.RevokeSecurityGroupIngress":
		dropPorts(c)
	case "rds.CreateDBInstance":
		m.clearVolume(ctx, c.form.Get("DBInstanceIdentifier"))
	}
	return nil
}

// after returns what has to be changed in the emulator's answer, if anything.
func (m *mends) after(c *call) func(context.Context, *call, *response) {
	switch c.service + "." + c.action {
	case "ec2.DescribeSecurityGroupRules":
		return namePrefixLists
	case "monitoring.DescribeAlarms":
		if c.protocol == queryProtocol {
			return m.describeAlarms
		}
	case "rds.CreateDBInstance", "rds.ModifyDBInstance", "rds.DescribeDBInstances", "rds.DeleteDBInstance", "rds.RebootDBInstance":
		return m.instances
	}
	if c.service == "cloudfront" && strings.Contains(c.action, "/response-headers-policy") {
		return dropEmptyHeaders
	}
	return nil
}

// dropPorts removes the ports of rules for every protocol, where they mean nothing. The emulator compares them, and so
// would never find the rule that each new security group has and that the AWS provider takes away.
func dropPorts(c *call) {
	for i := 1; c.form.Has(fmt.Sprintf("IpPermissions.%d.IpProtocol", i)); i++ {
		prefix := fmt.Sprintf("IpPermissions.%d.", i)
		if c.form.Get(prefix+"IpProtocol") == "-1" {
			c.form.Del(prefix + "FromPort")
			c.form.Del(prefix + "ToPort")
			c.body = []byte(c.form.Encode())
		}
	}
}

// CloudFront's addresses, as AWS keeps them in a list of its own. The ranges are documentation's.
const (
	edgeListID   = "pl-75b1541c"
	edgeListName = "com.amazonaws.global.cloudfront.origin-facing"
)

var edgeCIDRs = []string{"192.0.2.0/24", "198.51.100.0/24"}

func (m *mends) prefixList(c *call) *response {
	asked := slices.Contains([]string{c.form.Get("PrefixListId"), c.form.Get("PrefixListId.1")}, edgeListID)
	for i := 1; c.form.Has(fmt.Sprintf("Filter.%d.Name", i)); i++ {
		value := c.form.Get(fmt.Sprintf("Filter.%d.Value.1", i))
		asked = asked || value == edgeListName || value == edgeListID
	}
	if !asked {
		return nil
	}
	header := http.Header{"Content-Type": {"text/xml"}}
	const ns = `xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"`
	if c.action == "GetManagedPrefixListEntries" {
		return &response{http.StatusOK, header, []byte(`<GetManagedPrefixListEntriesResponse ` + ns + `><requestId>sandbox</requestId><entrySet>` +
			`<item><cidr>` + strings.Join(edgeCIDRs, `</cidr></item><item><cidr>`) + `</cidr></item></entrySet></GetManagedPrefixListEntriesResponse>`)}
	}
	return &response{http.StatusOK, header, fmt.Appendf(nil, `<DescribeManagedPrefixListsResponse %s><requestId>sandbox</requestId><prefixListSet><item>`+
		`<prefixListId>%s</prefixListId><addressFamily>IPv4</addressFamily><state>create-complete</state>`+
		`<prefixListArn>arn:aws:ec2:%s:aws:prefix-list/%s</prefixListArn><prefixListName>%s</prefixListName>`+
		`<ownerId>AWS</ownerId></item></prefixListSet></DescribeManagedPrefixListsResponse>`, ns, edgeListID, m.api.region, edgeListID, edgeListName)}
}

// namePrefixLists gives a rule without any other end the prefix list that it is for, which the emulator leaves out. There
// is no other list than CloudFront's here.
func namePrefixLists(_ context.Context, _ *call, r *response) {
	const rule = "<securityGroupRuleId>"
	rules := strings.Split(string(r.body), rule)
	for i, text := range rules {
		if i > 0 && !strings.Contains(text, "<cidrIpv") && !strings.Contains(text, "<referencedGroupInfo>") {
			rules[i] = strings.Replace(text, "</toPort>", "</toPort><prefixListId>"+edgeListID+"</prefixListId>", 1)
		}
	}
	r.body = []byte(strings.Join(rules, rule))
}

var emptyHeaders = regexp.MustCompile(`<(CustomHeadersConfig|RemoveHeadersConfig)><Quantity>0</Quantity>(<Items ?/>)?</(CustomHeadersConfig|RemoveHeadersConfig)>`)

// dropEmptyHeaders leaves out lists that nobody set. The provider would take an empty one for a change by hand.
func dropEmptyHeaders(_ context.Context, _ *call, r *response) {
	r.body = emptyHeaders.ReplaceAll(r.body, nil)
}

var (
	oneInstance = regexp.MustCompile(`(?s)<DBInstance>.*?</DBInstance>`)
	instanceID  = regexp.MustCompile(`<DBInstanceIdentifier>([^<]*)</DBInstanceIdentifier>`)
)

// instances tells back which logs an instance exports, and removes the data of one that was deleted: the emulator leaves
// them, and the next instance of that name would start with them and with the old password.
func (m *mends) instances(ctx context.Context, c *call, r *response) {
	if r.status >= 300 {
		return
	}
	id := c.form.Get("DBInstanceIdentifier")
	m.mu.Lock()
	switch c.action {
	case "CreateDBInstance":
		m.exports[id] = members(c.form, "EnableCloudwatchLogsExports.member.")
		m.save()
	case "ModifyDBInstance":
		for _, name := range members(c.form, "CloudwatchLogsExportConfiguration.EnableLogTypes.member.") {
			if !slices.Contains(m.exports[id], name) {
				m.exports[id] = append(m.exports[id], name)
			}
		}
		off := members(c.form, "CloudwatchLogsExportConfiguration.DisableLogTypes.member.")
		m.exports[id] = slices.DeleteFunc(m.exports[id], func(name string) bool { return slices.Contains(off, name) })
		m.save()
	}
	asked := resourceIDs(c.form)
	r.body = oneInstance.ReplaceAllFunc(r.body, func(xml []byte) []byte {
		// The emulator ignores this filter, and the provider would wait for another instance to be gone.
		if found := instanceResourceID.FindSubmatch(xml); asked != nil && (found == nil || !slices.Contains(asked, string(found[1]))) {
			return nil
		}
		found := instanceID.FindSubmatch(xml)
		if found == nil || len(m.exports[string(found[1])]) == 0 {
			return xml
		}
		list := "<EnabledCloudwatchLogsExports>"
		for _, name := range m.exports[string(found[1])] {
			list += "<member>" + escape(name) + "</member>"
		}
		return []byte(strings.Replace(string(xml), "<EnabledCloudwatchLogsExports/>", list+"</EnabledCloudwatchLogsExports>", 1))
	})
	if c.action == "DeleteDBInstance" {
		delete(m.exports, id)
		m.save()
	}
	m.mu.Unlock()
	if c.action == "DeleteDBInstance" {
		m.clearVolume(ctx, id)
	}
}

var instanceResourceID = regexp.MustCompile(`<DbiResourceId>([^<]*)</DbiResourceId>`)

// resourceIDs are those that a call filters instances by; nil without such a filter.
func resourceIDs(form url.Values) []string {
	for i := 1; form.Has(fmt.Sprintf("Filters.Filter.%d.Name", i)); i++ {
		if form.Get(fmt.Sprintf("Filters.Filter.%d.Name", i)) == "dbi-resource-id" {
			return append([]string{}, members(form, fmt.Sprintf("Filters.Filter.%d.Values.Value.", i))...)
		}
	}
	return nil
}

func members(form url.Values, prefix string) []string {
	var list []string
	for i := 1; form.Has(fmt.Sprint(prefix, i)); i++ {
		list = append(list, form.Get(fmt.Sprint(prefix, i)))
	}
	return list
}

// clearVolume removes the data of an instance that does not exist (any more).
func (m *mends) clearVolume(ctx context.Context, id string) {
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := m.api.query(ctx, "rds", "2014-10-31", "DescribeDBInstances", url.Values{"DBInstanceIdentifier": {id}}, nil); err == nil {
		return
	} else if !strings.Contains(err.Error(), "NotFound") {
		m.log.Warn("is a database gone?", "instance", id, "error", err)
		return
	}
	var out struct{ Volumes []struct{ Name string } }
	if err := m.docker.call(ctx, http.MethodGet, "/volumes", nil, &out); err != nil {
		m.log.Warn("list the databases' volumes", "error", err)
		return
	}
	for _, v := range out.Volumes {
		if !strings.HasPrefix(v.Name, "ministack-rds-") || !strings.HasSuffix(v.Name, "-instance-"+id+"-data") {
			continue
		}
		if err := m.docker.call(ctx, http.MethodDelete, "/volumes/"+v.Name, nil, nil); err != nil {
			m.log.Warn("remove a deleted database's data", "instance", id, "error", err)
		}
	}
}
