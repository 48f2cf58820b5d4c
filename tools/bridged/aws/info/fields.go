package info

import "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"

// fields lists the properties whose name or shape in Pulumi's SDK does not follow from Terraform's by rule. The
// toolchain's parity test compares every name with the SDK's.
func fields(resource string) map[string]*tfbridge.SchemaInfo {
	list := &tfbridge.SchemaInfo{MaxItemsOne: tfbridge.False()}
	switch resource {
	case "aws_appautoscaling_scheduled_action":
		return map[string]*tfbridge.SchemaInfo{
			"scalable_target_action": {Elem: &tfbridge.SchemaInfo{Fields: map[string]*tfbridge.SchemaInfo{
				"max_capacity": {Type: "integer"},
				"min_capacity": {Type: "integer"},
			}}},
		}
	case "aws_cloudwatch_metric_alarm":
		return map[string]*tfbridge.SchemaInfo{"alarm_name": {Name: "name"}}
	case "aws_ecs_service":
		return map[string]*tfbridge.SchemaInfo{
			"service_connect_configuration": {Elem: &tfbridge.SchemaInfo{Fields: map[string]*tfbridge.SchemaInfo{
				"service": {Elem: &tfbridge.SchemaInfo{Fields: map[string]*tfbridge.SchemaInfo{
					"client_alias": {Name: "clientAlias", MaxItemsOne: tfbridge.False()},
				}}},
			}}},
		}
	case "aws_lb_target_group":
		return map[string]*tfbridge.SchemaInfo{"deregistration_delay": {Type: "integer"}}
	case "aws_route53_record":
		return map[string]*tfbridge.SchemaInfo{
			"alias":                      {Name: "aliases", MaxItemsOne: tfbridge.False()},
			"failover_routing_policy":    list,
			"geolocation_routing_policy": list,
			"latency_routing_policy":     list,
			"weighted_routing_policy":    list,
		}
	case "aws_security_group", "aws_default_security_group":
		return map[string]*tfbridge.SchemaInfo{"ingress": {Name: "ingress"}, "egress": {Name: "egress"}}
	case "aws_sns_topic_subscription":
		return map[string]*tfbridge.SchemaInfo{"topic_arn": {Name: "topic"}}
	}
	return map[string]*tfbridge.SchemaInfo{}
}
