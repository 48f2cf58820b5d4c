// Package awsquery calls the AWS services that take forms and answer XML. Their own clients take minutes to compile,
// which everybody who deploys would wait for, and a handful of calls is all that is needed of them.
package awsquery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"

	"plan-charge/internal/wait"
)

// Service is an AWS service of this kind.
type Service struct {
	Name    string // in its endpoint and in signatures
	Version string // of its API
	Global  bool   // one endpoint for all regions
}

// The services, as the SDK's models name them.
var (
	EC2 = Service{Name: "ec2", Version: "2016-11-15"}
	ELB = Service{Name: "elasticloadbalancing", Version: "2015-12-01"}
	RDS = Service{Name: "rds", Version: "2014-10-31"}
	IAM = Service{Name: "iam", Version: "2010-05-08", Global: true}
)

// Client calls services of one account.
type Client struct {
	cfg    aws.Config
	signer *v4.Signer
	pause  time.Duration // after the first attempt that failed; it doubles
}

// New returns a client with the configuration's credentials, region and endpoint.
func New(cfg aws.Config) *Client {
	return &Client{cfg: cfg, signer: v4.NewSigner(), pause: 200 * time.Millisecond}
}

const (
	attempts = 5
	// skew is how far off a clock may be before AWS refuses what it signed.
	skew = 4 * time.Minute
)

// Call makes one call and reads its answer into out. It is made again, a few times, where AWS did not answer or asked for
// patience: only call what may happen twice. The error of a service is a smithy.APIError.
func (c *Client) Call(ctx context.Context, s Service, action string, form url.Values, out any) error {
	body := url.Values{"Action": {action}, "Version": {s.Version}}
	for key, values := range form {
		body[key] = values
	}
	pause, ahead := c.pause, time.Duration(0)
	var err error
	for range attempts {
		var answer answer
		if answer, err = c.once(ctx, s, body.Encode(), ahead); err == nil {
			if out == nil {
				return nil
			}
			return xml.Unmarshal(answer.body, out)
		}
		switch off := answer.ahead; {
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", action, wait.Cause(ctx, err))
		case off.Abs() > skew && (off-ahead).Abs() > skew:
			ahead = off
			continue
		case answer.status != 0 && !passing(answer.status, err):
			return fmt.Errorf("%s: %w", action, err)
		}
		if err := wait.For(ctx, pause); err != nil {
			return fmt.Errorf("%s: %w", action, err)
		}
		pause *= 2
	}
	return fmt.Errorf("%s: %w", action, err)
}

// answer is what came, its status 0 where nothing did.
type answer struct {
	status int
	body   []byte
	ahead  time.Duration // how far AWS's clock is ahead of this one
}

func (c *Client) once(ctx context.Context, s Service, body string, ahead time.Duration) (answer, error) {
	address, region := c.endpoint(s)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	credentials, err := c.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return answer{}, err
	}
	hash := sha256.Sum256([]byte(body))
	if err := c.signer.SignHTTP(ctx, credentials, req, hex.EncodeToString(hash[:]), s.Name, region, time.Now().Add(ahead)); err != nil {
		return answer{}, err
	}
	client := c.cfg.HTTPClient
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	got := answer{status: resp.StatusCode, body: text}
	if resp.StatusCode < 300 {
		return got, nil
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		got.ahead = time.Until(date)
	}
	return got, failure(resp.StatusCode, text)
}

// endpoint is the service's address, and the region that its signatures name.
func (c *Client) endpoint(s Service) (address, region string) {
	switch {
	case c.cfg.BaseEndpoint != nil:
		return strings.TrimSuffix(*c.cfg.BaseEndpoint, "/") + "/", c.cfg.Region
	case s.Global:
		return "https://" + s.Name + ".amazonaws.com/", "us-east-1"
	}
	return "https://" + s.Name + "." + c.cfg.Region + ".amazonaws.com/", c.cfg.Region
}

// failure reads an error in either of the shapes in which these services write it.
func failure(status int, text []byte) error {
	var e struct {
		Query struct{ Code, Message string } `xml:"Error"`
		EC2   struct{ Code, Message string } `xml:"Errors>Error"`
	}
	if err := xml.Unmarshal(text, &e); err != nil || e.Query.Code+e.EC2.Code == "" {
		return &smithy.GenericAPIError{Code: fmt.Sprint(status), Message: http.StatusText(status)}
	}
	return &smithy.GenericAPIError{Code: e.Query.Code + e.EC2.Code, Message: e.Query.Message + e.EC2.Message}
}

// passing says whether a refusal may be another answer a moment later.
func passing(status int, err error) bool {
	code := Code(err)
	return status >= 500 || strings.HasPrefix(code, "Throttl") || code == "RequestLimitExceeded"
}

// Code is the service's code for an error, or "" when it is none of a service.
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
