package resources

import (
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"vesperdb.io/vesper/api/v1alpha1"
	"vesperdb.io/vesper/internal/nodeconfig"
	"vesperdb.io/vesper/internal/topology"
)

// nodeUID is the user and group of a node's process and files.
const nodeUID = 65532

// NodeStatefulSet runs a node. Its pod is replaced when the configuration
// changes, also one that never became ready (Parallel): a fix always gets
// through. The annotations say which data and which broker it was made for.
func NodeStatefulSet(n Node) (*appsv1ac.StatefulSetApplyConfiguration, error) {
	files, err := nodeFiles(n)
	if err != nil {
		return nil, err
	}
	template, err := patchTemplate(n.Object, corev1ac.PodTemplateSpec().
		WithLabels(NodeLabels(n.Object)).
		WithAnnotations(map[string]string{v1alpha1.AnnotationConfigHash: hashOf(files)}).
		WithSpec(nodePod(n)))
	if err != nil {
		return nil, err
	}
	replicas := int32(1)
	if n.Stopped {
		replicas = 0
	}
	return appsv1ac.StatefulSet(n.Object.Name, n.Object.Namespace).
		WithLabels(NodeLabels(n.Object)).
		WithAnnotations(map[string]string{v1alpha1.AnnotationVolumeUID: n.VolumeUID, v1alpha1.AnnotationBroker: NodeBrokers(n.Object)}).
		WithOwnerReferences(nodeOwner(n.Object)).
		WithSpec(appsv1ac.StatefulSetSpec().
			WithReplicas(replicas).
			WithServiceName(NodeHeadlessName(n.Object.Name)).
			WithPodManagementPolicy(appsv1.ParallelPodManagement).
			WithUpdateStrategy(appsv1ac.StatefulSetUpdateStrategy().WithType(appsv1.RollingUpdateStatefulSetStrategyType)).
			WithRevisionHistoryLimit(3).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(nodeSelector(n.Object.Name))).
			WithTemplate(template)), nil
}

// NodeBrokers names the channels that a node joins, for AnnotationBroker: the
// broker alone of a node that has no other link than its own.
func NodeBrokers(node *v1alpha1.VesperNode) string {
	names := []string{node.Spec.BrokerRef.Name}
	for _, link := range node.Spec.Links {
		names = append(names, link.BrokerRef.Name+"/"+link.Channel)
	}
	return strings.Join(names, ",")
}

// Admitted reports whether an AnnotationBroker names a channel that a node joins.
// Its own channel cannot change, but for the broker.
func Admitted(annotation string, node *v1alpha1.VesperNode, channel topology.Channel) bool {
	own, links, _ := strings.Cut(annotation, ",")
	admitted := append(strings.Split(links, ","), own+"/"+node.Spec.Channel)
	return slices.Contains(admitted, channel.Broker+"/"+channel.Name)
}

// AdmittedTo reports whether a node joins no channel but those of an AnnotationBroker.
func AdmittedTo(annotation string, node *v1alpha1.VesperNode) bool {
	return !slices.ContainsFunc(NodeChannels(node), func(c topology.Channel) bool { return !Admitted(annotation, node, c) })
}

func nodePod(n Node) *corev1ac.PodSpecApplyConfiguration {
	pod := corev1ac.PodSpec().
		WithAutomountServiceAccountToken(false).
		WithEnableServiceLinks(false).
		WithTerminationGracePeriodSeconds(int64((nodeconfig.Default().ShutdownGrace + graceMargin).Seconds())).
		WithSecurityContext(corev1ac.PodSecurityContext().
			WithRunAsNonRoot(true).WithRunAsUser(nodeUID).WithRunAsGroup(nodeUID).
			WithFSGroup(nodeUID).WithFSGroupChangePolicy(corev1.FSGroupChangeOnRootMismatch).
			WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))).
		WithVolumes(nodeVolumes(n)...).
		WithContainers(nodeContainer(n))
	if cluster := systemOf(n.Object); cluster != "" {
		pod.WithTopologySpreadConstraints(spreadCluster(cluster))
	}
	if n.Object.Spec.Intermittent {
		pod.WithTolerations(stayWhenUnheard(corev1.TaintNodeUnreachable), stayWhenUnheard(corev1.TaintNodeNotReady))
	}
	for _, secret := range n.Object.Spec.ImagePullSecrets {
		pod.WithImagePullSecrets(corev1ac.LocalObjectReference().WithName(secret.Name))
	}
	return pod
}

// stayWhenUnheard keeps a pod from being evicted because Kubernetes does not hear
// of its machine: it serves its site all the while, and would be restarted for
// nothing when the machine is heard again.
func stayWhenUnheard(taint string) *corev1ac.TolerationApplyConfiguration {
	return corev1ac.Toleration().WithKey(taint).WithOperator(corev1.TolerationOpExists).WithEffect(corev1.TaintEffectNoExecute)
}

// spreadCluster puts the nodes of a cluster on different machines where it can.
func spreadCluster(cluster string) *corev1ac.TopologySpreadConstraintApplyConfiguration {
	return corev1ac.TopologySpreadConstraint().
		WithMaxSkew(1).WithTopologyKey(corev1.LabelHostname).WithWhenUnsatisfiable(corev1.ScheduleAnyway).
		WithLabelSelector(metav1ac.LabelSelector().WithMatchLabels(clusterPods(cluster)))
}

func nodeVolumes(n Node) []*corev1ac.VolumeApplyConfiguration {
	name := n.Object.Name
	volumes := []*corev1ac.VolumeApplyConfiguration{
		corev1ac.Volume().WithName("config").WithConfigMap(corev1ac.ConfigMapVolumeSource().WithName(NodeConfigName(name))),
		corev1ac.Volume().WithName("data").WithPersistentVolumeClaim(corev1ac.PersistentVolumeClaimVolumeSource().WithClaimName(NodeClaimName(name))),
		corev1ac.Volume().WithName("tmp").WithEmptyDir(corev1ac.EmptyDirVolumeSource()),
	}
	for _, login := range n.logins() {
		volumes = append(volumes, corev1ac.Volume().WithName(login.volume).WithSecret(corev1ac.SecretVolumeSource().
			WithSecretName(login.secret).WithDefaultMode(0o440).WithItems(
			corev1ac.KeyToPath().WithKey(v1alpha1.CredentialsUsernameKey).WithPath(v1alpha1.CredentialsUsernameKey),
			corev1ac.KeyToPath().WithKey(v1alpha1.CredentialsPasswordKey).WithPath(v1alpha1.CredentialsPasswordKey))))
	}
	if members := n.Object.Spec.MembersRef; members != nil {
		volumes = append(volumes, corev1ac.Volume().WithName("members").WithConfigMap(
			corev1ac.ConfigMapVolumeSource().WithName(members.Name).WithOptional(true)))
	}
	return append(volumes, guardVolumes(n)...)
}

// login is the Secret of a broker, and where its files are mounted.
type login struct{ volume, secret, dir string }

// logins are those of the brokers that a node connects to, its own first.
func (n Node) logins() (all []login) {
	if secret := n.Broker.CredentialsSecret; secret != "" {
		all = append(all, login{"broker", secret, nodeBrokerDir})
	}
	for i, link := range n.Object.Spec.Links {
		if secret := n.linkBroker(i).CredentialsSecret; secret != "" {
			all = append(all, login{"link-" + link.Name, secret, linkDir(link.Name)})
		}
	}
	return all
}

func nodeContainer(n Node) *corev1ac.ContainerApplyConfiguration {
	policy := n.Object.Spec.ImagePullPolicy
	if policy == "" {
		policy = corev1.PullIfNotPresent
	}
	resources := nodeResources(n.Object.Spec.Resources)
	container := corev1ac.Container().
		WithName(NodeContainer).
		WithImage(n.Image).
		WithImagePullPolicy(policy).
		WithArgs("--config", nodeConfigDir+"/"+nodeConfigFile).
		WithPorts(corev1ac.ContainerPort().WithName(NodePortName).WithContainerPort(NodePort).WithProtocol(corev1.ProtocolTCP)).
		WithResources(applyResources(resources)).
		WithSecurityContext(corev1ac.SecurityContext().
			WithAllowPrivilegeEscalation(false).WithReadOnlyRootFilesystem(true).
			WithCapabilities(corev1ac.Capabilities().WithDrop("ALL"))).
		// Opening a large store takes its time. Once open, only a process that does not
		// answer at all is ended, never one that is merely behind.
		WithStartupProbe(httpProbe(n, "/healthz").WithPeriodSeconds(1).WithTimeoutSeconds(3).WithFailureThreshold(300)).
		WithLivenessProbe(httpProbe(n, "/healthz").WithPeriodSeconds(10).WithTimeoutSeconds(5).WithFailureThreshold(6)).
		WithReadinessProbe(httpProbe(n, "/readyz").WithPeriodSeconds(3).WithTimeoutSeconds(3).WithFailureThreshold(2)).
		WithVolumeMounts(nodeMounts(n)...)
	if limit, ok := resources.Limits[corev1.ResourceMemory]; ok {
		container.WithEnv(corev1ac.EnvVar().WithName("GOMEMLIMIT").WithValue(goMemoryLimit(limit)))
	}
	return container
}

// goMemoryLimit is four fifths of a container's limit, in bytes: the collector
// then works harder before the kernel ends the process.
func goMemoryLimit(limit resource.Quantity) string {
	return strconv.FormatInt(limit.Value()/5*4, 10)
}

func nodeMounts(n Node) []*corev1ac.VolumeMountApplyConfiguration {
	mounts := []*corev1ac.VolumeMountApplyConfiguration{
		corev1ac.VolumeMount().WithName("config").WithMountPath(nodeConfigDir).WithReadOnly(true),
		corev1ac.VolumeMount().WithName("data").WithMountPath(nodeDataDir),
		corev1ac.VolumeMount().WithName("tmp").WithMountPath("/tmp"),
	}
	for _, login := range n.logins() {
		mounts = append(mounts, corev1ac.VolumeMount().WithName(login.volume).WithMountPath(login.dir).WithReadOnly(true))
	}
	if n.Object.Spec.MembersRef != nil {
		mounts = append(mounts, corev1ac.VolumeMount().WithName("members").WithMountPath(nodeMembersDir).WithReadOnly(true))
	}
	return append(mounts, guardMounts(n)...)
}

func httpProbe(n Node, path string) *corev1ac.ProbeApplyConfiguration {
	get := corev1ac.HTTPGetAction().WithPath(path).WithPort(intstr.FromString(NodePortName))
	if scheme := probeScheme(n.Object.Spec); scheme != corev1.URISchemeHTTP { // the default is left out: a newer operator changes no pod
		get.WithScheme(scheme)
	}
	return corev1ac.Probe().WithHTTPGet(get)
}

// nodeResources are the spec's, or the API's documented defaults.
func nodeResources(spec *corev1.ResourceRequirements) corev1.ResourceRequirements {
	if spec != nil {
		return *spec
	}
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
	}
}
