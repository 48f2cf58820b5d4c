package infra_test

import (
	"testing"

	"plan-charge/internal/testkit"
)

// Every security group, rule, role, right, listener and pinned secret that is declared is known as ours, or it would be
// removed as somebody else's.
func TestNothingDeclaredIsAStranger(t *testing.T) {
	for name, config := range map[string]map[string]string{
		"new network": {}, "existing network": {"network": `{"vpcId":"vpc-0a","publicSubnetIds":["subnet-0afa","subnet-0afb"],"privateSubnetIds":["subnet-0afc","subnet-0afd"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			p := program(t, config)
			count := map[string]int{}
			for _, r := range p {
				count[r.Type]++
			}
			watch := p["strangers-watch"]
			for key, types := range map[string][]string{
				"securityGroups": {"aws:ec2/securityGroup:SecurityGroup"}, "rules": {"aws:ec2/securityGroupRule:SecurityGroupRule"},
				"roles": {"aws:iam/role:Role"}, "policies": {"aws:iam/rolePolicy:RolePolicy", "aws:iam/rolePolicyAttachment:RolePolicyAttachment"},
				"loadBalancers": {"aws:lb/loadBalancer:LoadBalancer"}, "listeners": {"aws:lb/listener:Listener"},
				"listenerRules": {"aws:lb/listenerRule:ListenerRule"}, "secretVersions": {"aws:secretsmanager/secretVersion:SecretVersion"},
			} {
				want := 0
				for _, typ := range types {
					want += count[typ]
				}
				if list := watch.Get(key).([]any); len(list) != want || want == 0 {
					t.Errorf("%s: %d are known, %d declared: %v", key, len(list), want, list)
				}
			}
		})
	}
}

func TestStrangersAreToldFromOurs(t *testing.T) {
	p := program(t, map[string]string{"strangers": `{"allow":["role a: inline policy b"]}`})
	watch := p["strangers-watch"]
	is(t, watch, "role a: inline policy b", "allow", 0)
	for key, want := range map[string][]string{
		"rules": {
			"network-tasks-id egress all to 0.0.0.0/0", "database-group-id ingress tcp 5432 from network-tasks-id",
			"balancer-group-id egress tcp 8000 to network-tasks-id", "network-tasks-id ingress tcp 8000 from balancer-group-id",
			"balancer-group-id ingress tcp 80 from pl-",
		},
		"securityGroups": {"database-group-id plan-charge-prod-database"},
		"policies":       {"plan-charge-prod-backend-task ecs-exec", "plan-charge-prod-migration-execution start-tasks"},
		"listenerRules":  {" http-header X-Plan-Charge-Origin"},
	} {
		text := ""
		for _, item := range watch.Get(key).([]any) {
			text += item.(string) + "\n"
		}
		testkit.Contains(t, key, text, want...)
	}
}
