package tasklog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"plan-charge/internal/tasklog"
)

// log is one stream, read two events at a time; nil does not exist.
type log struct{ events *[]string }

func (l log) GetLogEvents(_ context.Context, in *cloudwatchlogs.GetLogEventsInput, _ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.GetLogEventsOutput, error) {
	if *l.events == nil {
		return nil, &types.ResourceNotFoundException{}
	}
	from, until := 0, min(2, len(*l.events))
	if !aws.ToBool(in.StartFromHead) {
		from, until = max(0, len(*l.events)-int(aws.ToInt32(in.Limit))), len(*l.events)
	} else if in.NextToken != nil {
		var direction rune
		fmt.Sscanf(*in.NextToken, "%c/%d", &direction, &from)
		if direction == 'f' && from == 2 { // a page may be empty before the end
			return &cloudwatchlogs.GetLogEventsOutput{NextForwardToken: aws.String("g/2")}, nil
		}
		until = min(from+2, len(*l.events))
		if until == from {
			return &cloudwatchlogs.GetLogEventsOutput{NextForwardToken: in.NextToken}, nil
		}
	}
	out := &cloudwatchlogs.GetLogEventsOutput{NextForwardToken: aws.String(fmt.Sprintf("f/%d", until))}
	for _, e := range (*l.events)[from:until] {
		out.Events = append(out.Events, types.OutputLogEvent{Message: aws.String(e)})
	}
	return out, nil
}

func TestPullTakesEachLineOnce(t *testing.T) {
	ctx := context.Background()
	var events []string
	s := &tasklog.Stream{API: log{&events}, Group: "g", Name: "n"}
	pull := func(want ...string) {
		t.Helper()
		got, err := s.Pull(ctx)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	if _, err := s.Pull(ctx); !errors.Is(err, tasklog.ErrNoStream) || s.Seen() {
		t.Errorf("got %v for a stream that is not there yet", err)
	}
	events = []string{}
	pull()
	events = append(events, "a", "b\nc\n", "d", "e")
	pull("a", "b", "c", "d", "e")
	pull()
	events = append(events, "f")
	pull("f")
	events = nil
	if _, err := s.Pull(ctx); !errors.Is(err, tasklog.ErrNoStream) || !s.Seen() {
		t.Errorf("got %v for a stream that is gone", err)
	}
}

func TestTail(t *testing.T) {
	events := []string{"a", "b", "c\nd", "e"}
	got, err := tasklog.Tail(context.Background(), log{&events}, "g", "n", 3)
	if err != nil || !slices.Equal(got, []string{"c", "d", "e"}) {
		t.Errorf("got %q, %v", got, err)
	}
	if name := tasklog.StreamName("backend", "app", "arn:aws:ecs:r:1:task/cluster/abc"); name != "backend/app/abc" {
		t.Error(name)
	}
}
