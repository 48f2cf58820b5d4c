package datachannel

import (
	"encoding/json"
	"time"
)

// OpenInput is the first message of a websocket, as text: it takes the channel by its token.
type OpenInput struct {
	MessageSchemaVersion string
	RequestID            string `json:"RequestId"`
	TokenValue           string
	ClientID             string `json:"ClientId"`
	ClientVersion        string
}

// SchemaVersion is OpenInput's.
const SchemaVersion = "1.0"

// acknowledgement is the payload of an Acknowledge.
type acknowledgement struct {
	Type       string `json:"AcknowledgedMessageType"`
	ID         string `json:"AcknowledgedMessageId"`
	Sequence   int64  `json:"AcknowledgedMessageSequenceNumber"`
	Sequential bool   `json:"IsSequentialMessage"`
}

// Closing is the payload of a ChannelClosed.
type Closing struct {
	MessageID     string `json:"MessageId"`
	CreatedDate   string
	DestinationID string `json:"DestinationId"`
	SessionID     string `json:"SessionId"`
	MessageType   string
	SchemaVersion int
	Output        string // why, for people
}

// Request is the agent's HandshakeRequest.
type Request struct {
	AgentVersion           string
	RequestedClientActions []Action
}

// Action is something that the agent wants of the client.
type Action struct {
	ActionType       string
	ActionParameters json.RawMessage
}

// Types of actions.
const (
	ActionSessionType = "SessionType"
	ActionEncryption  = "KMSEncryption"
)

// SessionType are the parameters of an action of that type.
type SessionType struct {
	SessionType string
	Properties  PortProperties
}

// PortProperties say where a port session leads, as the session's document fills them in.
type PortProperties struct {
	Host            string `json:"host,omitempty"`
	PortNumber      string `json:"portNumber"`
	LocalPortNumber string `json:"localPortNumber,omitempty"`
	Type            string `json:"type"`
}

// What a session that forwards a port says of itself.
const (
	PortSession         = "Port"
	LocalPortForwarding = "LocalPortForwarding"
)

// Response is the client's HandshakeResponse.
type Response struct {
	ClientVersion          string
	ProcessedClientActions []Processed
	Errors                 []string
}

// Processed is what became of an action.
type Processed struct {
	ActionType   string
	ActionStatus int
	ActionResult any
	Error        string
}

// Values of Processed.ActionStatus.
const (
	StatusSuccess     = 1
	StatusFailed      = 2
	StatusUnsupported = 3
)

// Complete is the agent's HandshakeComplete.
type Complete struct {
	HandshakeTimeToComplete time.Duration
	CustomerMessage         string
}
