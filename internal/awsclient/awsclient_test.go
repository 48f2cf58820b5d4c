package awsclient_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"plan-charge/internal/awsclient"
)

func TestPermanent(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"refused":      {&smithy.GenericAPIError{Code: "AccessDeniedException", Fault: smithy.FaultClient}, true},
		"throttled":    {&smithy.GenericAPIError{Code: "ThrottlingException", Fault: smithy.FaultClient}, false},
		"server fault": {&smithy.GenericAPIError{Code: "InternalFailure", Fault: smithy.FaultServer}, false},
		"reset":        {errors.New("read: connection reset by peer"), false},
	} {
		if got := awsclient.Permanent(tc.err); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCallsAreTriedAgain(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch calls.Add(1) {
		case 1:
			panic(http.ErrAbortHandler) // the connection is closed without an answer
		case 2:
			w.WriteHeader(400)
			w.Write([]byte(`{"__type":"ThrottlingException"}`))
		default:
			w.Write([]byte(`{"SecretString":"value"}`))
		}
	}))
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_REGION", "eu-west-3")
	cfg, err := awsclient.Load(context.Background(), awsclient.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	id := "x"
	out, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(context.Background(), &secretsmanager.GetSecretValueInput{SecretId: &id})
	if err != nil || *out.SecretString != "value" || calls.Load() != 3 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
}

func TestNoRegion(t *testing.T) {
	for _, key := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		t.Setenv(key, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
	if _, err := awsclient.Load(context.Background(), awsclient.Settings{}); err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("got %v", err)
	}
}

// What a command is handed is what it reads, whatever the machine's own environment says.
func TestSettingsReachCommands(t *testing.T) {
	want := awsclient.Settings{Region: "eu-central-1", Profile: "team", Role: "arn:aws:iam::123456789012:role/deployer"}
	t.Setenv("AWS_REGION", "us-east-1")
	for key, value := range want.Environment() {
		t.Setenv(key, value)
	}
	if got := awsclient.FromEnv(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if none := (awsclient.Settings{}).Environment(); len(none) != 0 {
		t.Errorf("nothing configured, but set: %v", none)
	}
}

// The region that is configured beats the environment's: a laptop's default is another one.
func TestConfiguredRegionWins(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-1")
	cfg, err := awsclient.Load(context.Background(), awsclient.Settings{Region: "eu-central-1"})
	if err != nil || cfg.Region != "eu-central-1" {
		t.Errorf("region %q, %v", cfg.Region, err)
	}
}
