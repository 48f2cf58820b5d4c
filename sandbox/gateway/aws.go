package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// awsAPI calls the emulator itself, so that faults do not disturb what the gateway does.
type awsAPI struct {
	upstream string
	region   string
	client   *http.Client
}

// apiError is an error that the emulator answered.
type apiError struct {
	Status  int
	Code    string
	Message string
}

func (e *apiError) Error() string { return fmt.Sprintf("%s: %s (%d)", e.Code, e.Message, e.Status) }

func (a *awsAPI) do(ctx context.Context, service, contentType, target string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.upstream+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/"+a.region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	if target != "" {
		req.Header.Set("X-Amz-Target", target)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, parseError(resp.StatusCode, data)
	}
	return data, nil
}

func parseError(status int, data []byte) error {
	e := &apiError{Status: status}
	var asJSON struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	var asXML struct {
		Error struct{ Code, Message string }
	}
	if json.Unmarshal(data, &asJSON) == nil && asJSON.Type != "" {
		e.Code, e.Message = asJSON.Type[strings.LastIndexByte(asJSON.Type, '#')+1:], asJSON.Message
	} else if xml.Unmarshal(data, &asXML) == nil {
		e.Code, e.Message = asXML.Error.Code, asXML.Error.Message
	}
	return e
}

// ecs makes a call of the container service.
func (a *awsAPI) ecs(ctx context.Context, action string, in, out any) error {
	return a.json(ctx, "ecs", "AmazonEC2ContainerServiceV20141113."+action, in, out)
}

// json makes a call of a JSON service.
func (a *awsAPI) json(ctx context.Context, service, target string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	data, err := a.do(ctx, service, jsonType, target, body)
	if err != nil {
		return fmt.Errorf("%s: %w", target, err)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}

// query makes a call of a service that takes forms and answers XML.
func (a *awsAPI) query(ctx context.Context, service, version, action string, form url.Values, out any) error {
	if form == nil {
		form = url.Values{}
	}
	form.Set("Action", action)
	form.Set("Version", version)
	data, err := a.do(ctx, service, "application/x-www-form-urlencoded", "", []byte(form.Encode()))
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	if out == nil {
		return nil
	}
	return xml.Unmarshal(data, out)
}

func (a *awsAPI) elb(ctx context.Context, action string, form url.Values, out any) error {
	return a.query(ctx, "elasticloadbalancing", "2015-12-01", action, form, out)
}

func (a *awsAPI) cloudwatch(ctx context.Context, action string, form url.Values, out any) error {
	return a.query(ctx, "monitoring", "2010-08-01", action, form, out)
}
