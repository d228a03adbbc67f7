package conditions

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/brokerprobe"
)

// brokerReachable says what the hosts answered to a STOMP CONNECT. One that
// took the login is enough: nodes fail over between them.
func brokerReachable(b Broker) judgement {
	if b.Answers == nil {
		return judgement{metav1.ConditionUnknown, v1alpha1.ReasonPending, "not asked: it waits for the other conditions"}
	}
	told := make([]string, 0, len(b.Answers))
	reason := v1alpha1.ReasonBrokerUnreachable
	for _, answer := range b.Answers {
		told = append(told, tell(answer))
		switch {
		case answer.OK():
			reason = v1alpha1.ReasonBrokerReady
		case answer.Refused != "" && reason != v1alpha1.ReasonBrokerReady:
			reason = v1alpha1.ReasonBrokerRefused
		}
	}
	message := strings.Join(told, "; ")
	if reason == v1alpha1.ReasonBrokerReady {
		return yes(reason, "%s", message)
	}
	return no(reason, "%s", message)
}

func tell(a brokerprobe.Answer) string {
	switch {
	case a.Refused != "":
		return fmt.Sprintf("%s refused the login: %s", a.Host, a.Refused)
	case a.Failed != "":
		return fmt.Sprintf("%s did not answer: %s", a.Host, a.Failed)
	case a.Server == "":
		return a.Host + " answered"
	default:
		return fmt.Sprintf("%s answered as %s", a.Host, a.Server)
	}
}

// BrokerServer is what the first host that took the login calls itself, "" if none did.
func BrokerServer(answers []brokerprobe.Answer) string {
	for _, answer := range answers {
		if answer.OK() {
			return answer.Server
		}
	}
	return ""
}
