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
	key      string // the access key that signed it
	service  string // signing name, such as ecs or elasticloadbalancing
	action   string // such as CreateService; of REST services the method and path
	protocol protocol
	body     []byte
	form     url.Values // of query calls
	query    url.Values // of the URL

	input map[string]any // of JSON calls, decoded on demand
}

var (
	credential = regexp.MustCompile(`Credential=([^/]+)/\d+/([^/]*)/([^/]+)/aws4_request`)
	rpcPath    = regexp.MustCompile(`^/service/[^/]+/operation/([^/]+)$`)
)

// identify tells what a request asks for. It reads names only, never values that may be secret.
func identify(r *http.Request, body []byte) *call {
	c := &call{body: body, protocol: restProtocol, action: r.Method + " " + r.URL.Path, query: r.URL.Query()}
	auth := r.Header.Get("Authorization")
	if auth == "" {
		auth = "Credential=" + r.URL.Query().Get("X-Amz-Credential")
	}
	if m := credential.FindStringSubmatch(auth); m != nil {
		c.key, c.service = m[1], m[3]
	}
	switch target := r.Header.Get("X-Amz-Target"); {
	case target != "":
		c.protocol = jsonProtocol
		c.action = target[strings.LastIndexByte(target, '.')+1:]
	case rpcPath.MatchString(r.URL.Path):
		c.protocol = jsonProtocol
		c.action = rpcPath.FindStringSubmatch(r.URL.Path)[1]
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
	}
	return c
}

// in decodes a JSON call's parameters. A body that is no JSON object has none.
func (c *call) in() map[string]any {
	if c.input == nil {
		c.input = map[string]any{}
		_ = json.Unmarshal(c.body, &c.input) // the emulator reports a damaged body
	}
	return c.input
}

var reading = regexp.MustCompile(`^(Describe|Get|List|Head|Filter|Search|BatchGet|GET |HEAD )`)

// reads tells whether a call changes nothing, so that it may be sent again.
func (c *call) reads() bool { return reading.MatchString(c.action) }

// failure is an error as the service's clients expect it.
func (c *call) failure(status int, code, message string) *response {
	header := http.Header{"X-Amzn-Requestid": {"sandbox"}}
	switch c.protocol {
	case jsonProtocol:
		header.Set("Content-Type", jsonType)
		header.Set("X-Amzn-Errortype", code)
		body, _ := json.Marshal(map[string]string{"__type": code, "message": message}) // strings always marshal
		return &response{status, header, body}
	default:
		form := "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>sandbox</RequestId></ErrorResponse>"
		if c.protocol == ec2Protocol {
			form = "<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors><RequestID>sandbox</RequestID></Response>"
		}
		header.Set("Content-Type", "text/xml")
		return &response{status, header, fmt.Appendf(nil, form, code, escape(message))}
	}
}

// result is an answer of a query service: what is within its result, in the service's XML namespace.
func (c *call) result(namespace, inner string) *response {
	text := fmt.Sprintf(`<%[1]sResponse xmlns="%[2]s"><%[1]sResult>%[3]s</%[1]sResult><ResponseMetadata><RequestId>sandbox</RequestId></ResponseMetadata></%[1]sResponse>`,
		c.action, namespace, inner)
	return &response{http.StatusOK, http.Header{"Content-Type": {"text/xml"}}, []byte(text)}
}

// ok is an answer of a JSON service.
func (c *call) ok(body any) *response {
	data, err := json.Marshal(body)
	if err != nil {
		return c.failure(http.StatusInternalServerError, serverException, err.Error())
	}
	return &response{http.StatusOK, http.Header{"Content-Type": {jsonType}, "X-Amzn-Requestid": {"sandbox"}}, data}
}

// notEmulated ends what is said to a call that nobody answers.
const notEmulated = " is not emulated by the sandbox"

// jsonType is the content type of JSON services.
const jsonType = "application/x-amz-json-1.1"

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a builder never fails
	return b.String()
}
