package gateway

import (
	"context"
	"testing"
)

func TestRulesOfPrefixListsNameThem(t *testing.T) {
	const set, end = "<securityGroupRuleSet>", "</securityGroupRuleSet>"
	rule := func(other string) string {
		return "<item><securityGroupRuleId>sgr-1</securityGroupRuleId><fromPort>80</fromPort><toPort>80</toPort>" + other + "</item>"
	}
	address, group := rule("<cidrIpv4>10.0.0.0/8</cidrIpv4>"), rule("<referencedGroupInfo><groupId>sg-1</groupId></referencedGroupInfo>")
	r := &response{body: []byte(set + address + rule("") + group + end)}
	namePrefixLists(context.Background(), nil, r)
	if want := set + address + rule("<prefixListId>"+edgeListID+"</prefixListId>") + group + end; string(r.body) != want {
		t.Errorf("found %s\n want %s", r.body, want)
	}
}
