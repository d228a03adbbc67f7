package resources

import (
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
)

// BrokerContainer is the name of the broker's container.
const BrokerContainer = "activemq"

const (
	brokerUID = 65532

	activemqHome = "/opt/apache-activemq"
	confDir      = "/etc/activemq/conf"
	authDir      = "/etc/activemq/auth"
	brokerData   = "/data"
)

// connectProbe is a whole STOMP CONNECT: a broker that hangs still accepts TCP.
// It reads the credentials from their files, so that none is in the pod's spec.
const connectProbe = `exec 3<>/dev/tcp/127.0.0.1/61613 && ` +
	`printf 'CONNECT\naccept-version:1.2\nhost:probe\nlogin:%s\npasscode:%s\n\n\0' "$(<` + authDir + `/username)" "$(<` + authDir + `/password)" >&3 && ` +
	`IFS= read -r -t 3 l <&3 && printf 'DISCONNECT\n\n\0' >&3 && [ "${l%$'\r'}" = CONNECTED ]`

// opened are the parts of the JDK that ActiveMQ reaches into.
var opened = []string{
	"java.base/java.security", "java.base/java.net", "java.base/java.lang", "java.base/java.util",
	"java.naming/javax.naming.spi", "java.rmi/sun.rmi.transport.tcp",
	"java.base/java.util.concurrent", "java.base/java.util.concurrent.atomic",
}

// BrokerStatefulSet runs the broker. Its pod is replaced when the configuration
// changes, also one that never became ready (Parallel): a fix always gets through.
func BrokerStatefulSet(b Broker) (*appsv1ac.StatefulSetApplyConfiguration, error) {
	files, err := brokerFiles(b)
	if err != nil {
		return nil, err
	}
	name, spec := b.Object.Name, b.Object.Spec.ActiveMQ
	replicas := int32(1)
	if spec.Replicas != nil {
		replicas = *spec.Replicas
	}
	return appsv1ac.StatefulSet(BrokerName(name), b.Object.Namespace).
		WithLabels(BrokerLabels(name)).
		WithOwnerReferences(brokerOwner(b.Object)).
		WithSpec(appsv1ac.StatefulSetSpec().
			WithReplicas(replicas).
			WithServiceName(BrokerHeadlessName(name)).
			WithPodManagementPolicy(appsv1.ParallelPodManagement).
			WithUpdateStrategy(appsv1ac.StatefulSetUpdateStrategy().WithType(appsv1.RollingUpdateStatefulSetStrategyType)).
			WithRevisionHistoryLimit(3).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(brokerSelector(name))).
			WithTemplate(corev1ac.PodTemplateSpec().
				WithLabels(BrokerLabels(name)).
				WithAnnotations(map[string]string{v1alpha1.AnnotationConfigHash: hashOf(files)}).
				WithSpec(brokerPod(b)))), nil
}

func brokerPod(b Broker) *corev1ac.PodSpecApplyConfiguration {
	name := b.Object.Name
	pod := corev1ac.PodSpec().
		WithAutomountServiceAccountToken(false).
		WithEnableServiceLinks(false).
		WithTerminationGracePeriodSeconds(60).
		WithSecurityContext(corev1ac.PodSecurityContext().
			WithRunAsNonRoot(true).WithRunAsUser(brokerUID).WithRunAsGroup(brokerUID).
			WithFSGroup(brokerUID).WithFSGroupChangePolicy(corev1.FSGroupChangeOnRootMismatch).
			WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
		WithVolumes(
			corev1ac.Volume().WithName("conf").WithConfigMap(corev1ac.ConfigMapVolumeSource().WithName(BrokerConfigName(name))),
			corev1ac.Volume().WithName("auth").WithSecret(corev1ac.SecretVolumeSource().WithSecretName(BrokerSecretName(name)).WithDefaultMode(0o440)),
			corev1ac.Volume().WithName("data").WithPersistentVolumeClaim(corev1ac.PersistentVolumeClaimVolumeSource().WithClaimName(BrokerClaimName(name))),
			corev1ac.Volume().WithName("tmp").WithEmptyDir(corev1ac.EmptyDirVolumeSource()),
		).
		WithContainers(brokerContainer(b))
	for _, secret := range b.Object.Spec.ActiveMQ.ImagePullSecrets {
		pod.WithImagePullSecrets(corev1ac.LocalObjectReference().WithName(secret.Name))
	}
	return pod
}

func brokerContainer(b Broker) *corev1ac.ContainerApplyConfiguration {
	policy := b.Object.Spec.ActiveMQ.ImagePullPolicy
	if policy == "" {
		policy = corev1.PullIfNotPresent
	}
	resources := brokerResources(b.Object.Spec.ActiveMQ.Resources)
	return corev1ac.Container().
		WithName(BrokerContainer).
		WithImage(b.Image).
		WithImagePullPolicy(policy).
		WithCommand(brokerCommand(resources)...).
		WithPorts(corev1ac.ContainerPort().WithName(StompPortName).WithContainerPort(StompPort).WithProtocol(corev1.ProtocolTCP)).
		WithResources(applyResources(resources)).
		WithSecurityContext(corev1ac.SecurityContext().
			WithAllowPrivilegeEscalation(false).WithReadOnlyRootFilesystem(true).
			WithCapabilities(corev1ac.Capabilities().WithDrop("ALL"))).
		// Recovery of a large journal takes minutes, and must not be killed: no liveness probe. A JVM out of memory ends itself.
		WithStartupProbe(stompProbe().WithPeriodSeconds(1).WithFailureThreshold(300)).
		WithReadinessProbe(stompProbe().WithPeriodSeconds(5).WithFailureThreshold(3)).
		WithVolumeMounts(
			corev1ac.VolumeMount().WithName("conf").WithMountPath(confDir).WithReadOnly(true),
			corev1ac.VolumeMount().WithName("auth").WithMountPath(authDir).WithReadOnly(true),
			corev1ac.VolumeMount().WithName("data").WithMountPath(brokerData),
			corev1ac.VolumeMount().WithName("tmp").WithMountPath("/tmp"),
		)
}

func stompProbe() *corev1ac.ProbeApplyConfiguration {
	return corev1ac.Probe().WithExec(corev1ac.ExecAction().WithCommand("bash", "-c", connectProbe)).WithTimeoutSeconds(4)
}

// brokerCommand starts the JVM itself: the image's entry point edits files
// below a root that is read-only here, and would not pass SIGTERM on.
func brokerCommand(r corev1.ResourceRequirements) []string {
	command := append([]string{"java"}, heapFlags(r)...)
	command = append(command,
		"-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError",
		"-Djava.awt.headless=true", "-Djava.io.tmpdir=/tmp", "-Duser.home=/tmp",
		"--add-reads=java.xml=java.logging")
	for _, module := range opened {
		command = append(command, "--add-opens="+module+"=ALL-UNNAMED")
	}
	return append(command,
		"-Dlog4j2.configurationFile="+confDir+"/log4j2.properties",
		"-Djava.security.auth.login.config="+confDir+"/login.config",
		"-Dactivemq.home="+activemqHome, "-Dactivemq.base="+activemqHome,
		"-Dactivemq.conf="+confDir, "-Dactivemq.data="+brokerData,
		"-Dactivemq.classpath="+confDir+":"+activemqHome+"/conf",
		"-jar", activemqHome+"/bin/activemq.jar", "start", "xbean:file:"+confDir+"/activemq.xml")
}

// heapFlags give the heap 60 % of the memory limit. Without a limit the JVM
// would take its part of the whole machine, so then it is 60 % of the request,
// or of 1 GiB.
func heapFlags(r corev1.ResourceRequirements) []string {
	if _, limited := r.Limits[corev1.ResourceMemory]; limited {
		return []string{"-XX:InitialRAMPercentage=25", "-XX:MaxRAMPercentage=60"}
	}
	memory := int64(1024 * mebibyte)
	if request, ok := r.Requests[corev1.ResourceMemory]; ok {
		memory = request.Value()
	}
	return []string{"-Xmx" + strconv.FormatInt(memory/100*60/mebibyte, 10) + "m"}
}

// brokerResources are the spec's, or the API's documented defaults.
func brokerResources(spec *corev1.ResourceRequirements) corev1.ResourceRequirements {
	if spec != nil {
		return *spec
	}
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("512Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")},
	}
}

func applyResources(r corev1.ResourceRequirements) *corev1ac.ResourceRequirementsApplyConfiguration {
	out := corev1ac.ResourceRequirements()
	if len(r.Requests) > 0 {
		out.WithRequests(r.Requests)
	}
	if len(r.Limits) > 0 {
		out.WithLimits(r.Limits)
	}
	for _, claim := range r.Claims {
		c := corev1ac.ResourceClaim().WithName(claim.Name)
		if claim.Request != "" {
			c.WithRequest(claim.Request)
		}
		out.WithClaims(c)
	}
	return out
}
