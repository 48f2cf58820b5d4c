package gateway

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// protocol is how a service writes requests and answers.
type protocol int

const (
	jsonProtocol protocol = iota
	queryProtocol
	ec2Protocol
	restProtocol
)

// call is one AWS call.
type call struct {
	service  string // signing name, such as ecs or elasticloadbalancing
	action   string // such as CreateService; for REST services the method and path where no name is known
	resource string // name or ARN of what it is about, where the request shows one
	protocol protocol
	body     []byte
	form     url.Values // of query calls
	path     string
	method   string

	input map[string]any // of JSON calls, decoded on demand
}

var (
	credential = regexp.MustCompile(`Credential=[^/]+/\d+/([^/]*)/([^/]+)/aws4_request`)
	rpcPath    = regexp.MustCompile(`^/service/([^/]+)/operation/([^/]+)$`)
)

// identify tells what a request asks for. It reads names only, never values that may be secret.
func identify(r *http.Request, body []byte) *call {
	c := &call{body: body, path: r.URL.Path, method: r.Method, protocol: restProtocol}
	auth := r.Header.Get("Authorization")
	if auth == "" {
		auth = "Credential=" + r.URL.Query().Get("X-Amz-Credential")
	}
	if m := credential.FindStringSubmatch(auth); m != nil {
		c.service = m[2]
	}
	switch target := r.Header.Get("X-Amz-Target"); {
	case target != "":
		c.protocol = jsonProtocol
		c.action = target[strings.LastIndexByte(target, '.')+1:]
		c.resource = c.jsonResource()
	case rpcPath.MatchString(r.URL.Path):
		c.protocol = jsonProtocol
		c.action = rpcPath.FindStringSubmatch(r.URL.Path)[2]
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"), r.URL.Query().Get("Action") != "":
		if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") != "" {
			c.form = form
		} else {
			c.form = r.URL.Query()
		}
		c.action = c.form.Get("Action")
		c.protocol = queryProtocol
		if c.service == "ec2" {
			c.protocol = ec2Protocol
		}
		for _, key := range formResources {
			if value := c.form.Get(key); value != "" {
				c.resource = value
				break
			}
		}
	default:
		c.action, c.resource = restAction(c.service, r)
	}
	return c
}

// jsonResources and formResources are the parameters that name what a call is about, the most telling first.
var (
	jsonResources = []string{
		"service", "serviceName", "task", "taskDefinition", "family", "cluster", "clusterName", "clusters", "SecretId", "logGroupName",
		"resourceArn", "ResourceARN", "ResourceId", "ServiceNamespace", "Name", "name", "KeyId", "AlarmName",
	}
	formResources = []string{
		"DBInstanceIdentifier", "DBParameterGroupName", "DBSubnetGroupName", "DBSnapshotIdentifier", "RoleName", "PolicyArn", "LoadBalancerArn",
		"TargetGroupArn", "ListenerArn", "RuleArn", "LoadBalancerArns.member.1", "TargetGroupArns.member.1", "ListenerArns.member.1", "TopicArn", "AlarmName",
		"ResourceName", "ResourceArns.member.1", "VpcId", "SubnetId", "GroupId", "RouteTableId", "InternetGatewayId", "NatGatewayId", "AllocationId", "Name",
	}
)

func (c *call) jsonResource() string {
	in := c.in()
	for _, key := range jsonResources {
		switch value := in[key].(type) {
		case string:
			if value != "" {
				return value
			}
		case []any:
			if len(value) > 0 {
				if s, ok := value[0].(string); ok {
					return s
				}
			}
		}
	}
	return ""
}

// in decodes a JSON call's parameters. A body that is no JSON object has none.
func (c *call) in() map[string]any {
	if c.input == nil {
		c.input = map[string]any{}
		_ = json.Unmarshal(c.body, &c.input) // the emulator reports a damaged body
	}
	return c.input
}

type restPattern struct {
	method string
	path   *regexp.Regexp
	action string
}

func rest(method, path, action string) restPattern {
	return restPattern{method, regexp.MustCompile("^/[^/]+" + path + "/?$"), action}
}

// restActions names the REST calls of the services in use. The part of the path in parentheses is the resource.
var restActions = map[string][]restPattern{
	"cloudfront": {
		rest("POST", "/distribution", "CreateDistribution"), rest("GET", "/distribution", "ListDistributions"),
		rest("GET", "/distribution/([^/]+)", "GetDistribution"), rest("GET", "/distribution/([^/]+)/config", "GetDistributionConfig"),
		rest("PUT", "/distribution/([^/]+)/config", "UpdateDistribution"), rest("DELETE", "/distribution/([^/]+)", "DeleteDistribution"),
		rest("POST", "/distribution/([^/]+)/invalidation", "CreateInvalidation"), rest("GET", "/distribution/([^/]+)/invalidation", "ListInvalidations"),
		rest("GET", "/distribution/([^/]+)/invalidation/[^/]+", "GetInvalidation"),
		rest("POST", "/response-headers-policy", "CreateResponseHeadersPolicy"), rest("GET", "/response-headers-policy/([^/]+)", "GetResponseHeadersPolicy"),
		rest("GET", "/response-headers-policy/([^/]+)/config", "GetResponseHeadersPolicyConfig"), rest("PUT", "/response-headers-policy/([^/]+)", "UpdateResponseHeadersPolicy"),
		rest("DELETE", "/response-headers-policy/([^/]+)", "DeleteResponseHeadersPolicy"), rest("GET", "/cache-policy/([^/]+)", "GetCachePolicy"),
		rest("GET", "/origin-request-policy/([^/]+)", "GetOriginRequestPolicy"),
	},
	"route53": {
		rest("POST", "/hostedzone/([^/]+)/rrset", "ChangeResourceRecordSets"), rest("GET", "/hostedzone/([^/]+)/rrset", "ListResourceRecordSets"),
		rest("POST", "/hostedzone", "CreateHostedZone"), rest("GET", "/hostedzone", "ListHostedZones"), rest("GET", "/hostedzonesbyname", "ListHostedZonesByName"),
		rest("GET", "/hostedzone/([^/]+)", "GetHostedZone"), rest("DELETE", "/hostedzone/([^/]+)", "DeleteHostedZone"), rest("GET", "/change/([^/]+)", "GetChange"),
		rest("GET", "/tags/hostedzone/([^/]+)", "ListTagsForResource"), rest("POST", "/tags/hostedzone/([^/]+)", "ChangeTagsForResource"),
	},
}

func restAction(service string, r *http.Request) (action, resource string) {
	if service == "cloudfront" && strings.HasSuffix(strings.TrimSuffix(r.URL.Path, "/"), "/tagging") {
		operation := r.URL.Query().Get("Operation")
		if r.Method == http.MethodGet {
			return "ListTagsForResource", r.URL.Query().Get("Resource")
		}
		return operation + "Resource", r.URL.Query().Get("Resource")
	}
	for _, p := range restActions[service] {
		if p.method != r.Method {
			continue
		}
		if m := p.path.FindStringSubmatch(r.URL.Path); m != nil {
			if len(m) > 1 {
				resource = m[1]
			}
			return p.action, resource
		}
	}
	return r.Method + " " + r.URL.Path, ""
}

var reading = regexp.MustCompile(`^(Describe|Get|List|Head|Filter|Search|BatchGet|GET |HEAD )`)

// reads tells whether a call changes nothing, so that it may be sent again.
func (c *call) reads() bool { return reading.MatchString(c.action) }

// failure is an error as the service's clients expect it.
func (c *call) failure(status int, code, message string) *response {
	header := http.Header{"X-Amzn-Requestid": {"sandbox"}}
	switch c.protocol {
	case jsonProtocol:
		header.Set("Content-Type", "application/x-amz-json-1.1")
		header.Set("X-Amzn-Errortype", code)
		body, _ := json.Marshal(map[string]string{"__type": code, "message": message}) // strings always marshal
		return &response{status, header, body}
	case ec2Protocol:
		header.Set("Content-Type", "text/xml")
		return &response{status, header, fmt.Appendf(nil, "<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>sandbox</RequestID></Response>", code, escape(message))}
	default:
		header.Set("Content-Type", "text/xml")
		return &response{status, header, fmt.Appendf(nil, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>sandbox</RequestId></ErrorResponse>", code, escape(message))}
	}
}

// ok is an answer of a JSON service.
func (c *call) ok(body any) *response {
	data, err := json.Marshal(body)
	if err != nil {
		return c.failure(http.StatusInternalServerError, "ServerException", err.Error())
	}
	return &response{http.StatusOK, http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "X-Amzn-Requestid": {"sandbox"}}, data}
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a builder never fails
	return b.String()
}
