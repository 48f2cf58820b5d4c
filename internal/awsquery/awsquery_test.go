package awsquery

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// client returns one whose calls are answered by f, the first being number 1.
func client(t *testing.T, f func(n int, w http.ResponseWriter, r *http.Request)) *Client {
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		f(n, w, r)
	}))
	t.Cleanup(server.Close)
	c := New(aws.Config{Region: "eu-west-3", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("id", "key", "")})
	c.pause = time.Millisecond
	return c
}

const throttled = `<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>slowly</Message></Error></Errors><RequestID>x</RequestID></Response>`

func TestCall(t *testing.T) {
	c := client(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Form.Get("Action") != "DescribeThings" || r.Form.Get("Version") != "2016-11-15" || r.Form.Get("Id.1") != "a&b" {
			t.Errorf("asked %v, %v", r.Form, err)
		}
		if auth := r.Header.Get("Authorization"); !strings.Contains(auth, "/eu-west-3/ec2/aws4_request") || !strings.Contains(auth, "host") {
			t.Errorf("signed %q", auth)
		}
		switch n {
		case 1:
			w.WriteHeader(503)
			_, _ = w.Write([]byte(throttled))
		case 2: // the connection is cut
			panic(http.ErrAbortHandler)
		default:
			_, _ = w.Write([]byte(`<R><set><item><id>1</id></item><item><id>2</id></item></set></R>`))
		}
	})
	var out struct {
		IDs []string `xml:"set>item>id"`
	}
	if err := c.Call(t.Context(), EC2, "DescribeThings", url.Values{"Id.1": {"a&b"}}, &out); err != nil || len(out.IDs) != 2 {
		t.Errorf("got %v, %v", out, err)
	}
}

func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		service           Service
		status            int
		body, code, words string
		calls             int
	}{
		"of EC2":      {EC2, 403, `<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>not you</Message></Error></Errors></Response>`, "UnauthorizedOperation", "DescribeThings: api error UnauthorizedOperation: not you", 1},
		"of others":   {IAM, 404, `<ErrorResponse><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>no role</Message></Error></ErrorResponse>`, "NoSuchEntity", "no role", 1},
		"no XML":      {ELB, 502, `bad gateway`, "502", "Bad Gateway", attempts},
		"of patience": {ELB, 400, `<ErrorResponse><Error><Code>Throttling</Code><Message>slowly</Message></Error></ErrorResponse>`, "Throttling", "slowly", attempts},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			c := client(t, func(n int, w http.ResponseWriter, _ *http.Request) {
				calls = n
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			})
			err := c.Call(t.Context(), tc.service, "DescribeThings", nil, nil)
			if Code(err) != tc.code || !strings.Contains(err.Error(), tc.words) || calls != tc.calls {
				t.Errorf("after %d calls: %v", calls, err)
			}
		})
	}
}

// AWS refuses what was signed by a clock that is off. Its answer tells the time.
func TestClockThatIsOff(t *testing.T) {
	theirs := time.Now().Add(time.Hour).UTC()
	c := client(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		w.Header().Set("Date", theirs.Format(http.TimeFormat))
		if err != nil || signed.Sub(theirs).Abs() > time.Minute {
			w.WriteHeader(403)
			_, _ = w.Write([]byte(`<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>`))
		}
	})
	if err := c.Call(t.Context(), IAM, "ListThings", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestEndpoints(t *testing.T) {
	c := New(aws.Config{Region: "eu-west-3"})
	for service, want := range map[Service]string{
		EC2: "https://ec2.eu-west-3.amazonaws.com/ eu-west-3", ELB: "https://elasticloadbalancing.eu-west-3.amazonaws.com/ eu-west-3", IAM: "https://iam.amazonaws.com/ us-east-1",
	} {
		address, region := c.endpoint(service)
		if got := address + " " + region; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestPatienceEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	c := client(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	c.pause = time.Hour
	if err := c.Call(ctx, EC2, "DescribeThings", nil, nil); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("got %v", err)
	}
}
