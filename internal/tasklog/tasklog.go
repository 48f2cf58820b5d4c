// Package tasklog reads the CloudWatch log of one ECS task.
package tasklog

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// ErrNoStream says that the task has no log stream: its container has not started, or the log is gone.
var ErrNoStream = errors.New("the log stream does not exist")

// API is the part of the CloudWatch Logs client that is used.
type API interface {
	GetLogEvents(context.Context, *cloudwatchlogs.GetLogEventsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.GetLogEventsOutput, error)
}

// StreamName returns the name that the awslogs driver gives the stream of a task's container.
func StreamName(prefix, container, taskARN string) string {
	return prefix + "/" + container + "/" + taskARN[strings.LastIndexByte(taskARN, '/')+1:]
}

// Stream is one log stream, read from its beginning in steps.
type Stream struct {
	API         API
	Group, Name string

	token *string
	seen  bool
}

// Pull returns the lines written since the last call, without waiting for more. It returns ErrNoStream as long
// as there is no stream, and again when a stream that was read is no longer there.
func (s *Stream) Pull(ctx context.Context) ([]string, error) {
	var lines []string
	for {
		page, err := s.API.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{
			LogGroupName: &s.Group, LogStreamName: &s.Name, NextToken: s.token, StartFromHead: aws.Bool(true),
		})
		if err != nil {
			return lines, explain(err, s.Group, s.Name)
		}
		s.seen = true
		lines = append(lines, split(page.Events)...)
		// The end of a stream is told by a token that comes back, not by an empty page.
		if page.NextForwardToken == nil || (s.token != nil && *s.token == *page.NextForwardToken) {
			return lines, nil
		}
		s.token = page.NextForwardToken
	}
}

// Seen reports whether the stream was there at least once.
func (s *Stream) Seen() bool { return s.seen }

// Tail returns the end of a stream: at most n lines after folding.
func Tail(ctx context.Context, api API, group, name string, n int) ([]string, error) {
	page, err := api.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{
		LogGroupName: &group, LogStreamName: &name, Limit: aws.Int32(int32(foldedFrom * n)), StartFromHead: aws.Bool(false),
	})
	if err != nil {
		return nil, explain(err, group, name)
	}
	return Last(Fold(split(page.Events)), n), nil
}

// Last returns at most the last n lines.
func Last(lines []string, n int) []string { return lines[max(0, len(lines)-n):] }

func split(events []types.OutputLogEvent) []string {
	var lines []string
	for _, e := range events {
		lines = append(lines, strings.Split(strings.TrimRight(aws.ToString(e.Message), "\r\n"), "\n")...)
	}
	return lines
}

func explain(err error, group, name string) error {
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return fmt.Errorf("log stream %s in %s: %w", name, group, ErrNoStream)
	}
	return fmt.Errorf("read log stream %s in %s: %w", name, group, err)
}
