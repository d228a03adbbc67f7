package activemqtest

import (
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// home is where Debian's package puts ActiveMQ, and owner the user that it makes.
const (
	home  = "/usr/share/activemq"
	owner = "activemq"
)

// installed returns the path of java, or what to install.
func installed() (string, error) {
	if _, err := os.Stat(filepath.Join(home, "bin", "activemq.jar")); err != nil {
		return "", errors.New("needs a real ActiveMQ: apt-get install --no-install-recommends activemq")
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return "", errors.New("needs Java: apt-get install --no-install-recommends openjdk-17-jre-headless")
	}
	return java, nil
}

// configure writes the files that ActiveMQ reads at its start.
func (b *Broker) configure() error {
	conf := filepath.Join(b.dir, "conf")
	for _, d := range []string{conf, filepath.Join(b.dir, "data"), filepath.Join(b.dir, "tmp")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(conf, "activemq.xml"), []byte(b.xml()), 0o644); err != nil {
		return err
	}
	// Debian's package logs through log4j 1.2 and reads no other configuration.
	log := strings.Join([]string{
		"log4j.rootLogger=INFO, out",
		"log4j.logger.org.springframework=WARN",
		"log4j.appender.out=org.apache.log4j.ConsoleAppender",
		"log4j.appender.out.layout=org.apache.log4j.PatternLayout",
		"log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %-5p %c{1}: %m%n", "",
	}, "\n")
	return os.WriteFile(filepath.Join(conf, "log4j.properties"), []byte(log), 0o644)
}

func (b *Broker) xml() string {
	limit, kaha, check := `limit="2 gb"`, "", ""
	if b.o.StoreLimit != "" || b.o.StorePercent > 0 {
		limit = `limit="` + b.o.StoreLimit + `"`
		// So that a small limit counts data, not file size, and space that was freed counts soon.
		kaha = ` journalMaxFileLength="1mb" cleanupInterval="500" checkpointInterval="500"`
	}
	if b.o.StorePercent > 0 {
		limit = fmt.Sprintf(`percentLimit="%d"`, b.o.StorePercent)
		check = ` schedulePeriodForDiskUsageCheck="500" diskUsageCheckRegrowThreshold="0"`
	}
	usage := ""
	if b.o.FailWhenFull > 0 {
		usage = fmt.Sprintf(` sendFailIfNoSpaceAfterTimeout="%d"`, b.o.FailWhenFull.Milliseconds())
	}
	maxFrame := b.o.MaxFrame
	if maxFrame <= 0 {
		maxFrame = 16<<20 + 64<<10
	}
	return fmt.Sprintf(`<?xml version="1.0"?>
<beans xmlns="http://www.springframework.org/schema/beans"
       xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
       xsi:schemaLocation="http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans.xsd
                           http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="test" dataDirectory="%[1]s/data" useJmx="false"%[9]s>
    <persistenceAdapter>
      <kahaDB directory="%[1]s/data/kahadb"%[2]s>
        <locker><shared-file-locker lockAcquireSleepInterval="200"/></locker>
      </kahaDB>
    </persistenceAdapter>
    <systemUsage><systemUsage%[3]s>
      <memoryUsage><memoryUsage percentOfJvmHeap="50"/></memoryUsage>
      <storeUsage><storeUsage %[4]s/></storeUsage>
      <tempUsage><tempUsage limit="512 mb"/></tempUsage>
    </systemUsage></systemUsage>
    %[5]s
    <transportConnectors>
      <transportConnector name="stomp" uri="stomp://%[6]s?allowLinkStealing=%[8]t&amp;transport.hbGracePeriodMultiplier=1.5&amp;wireFormat.maxFrameSize=%[7]d"/>
    </transportConnectors>
  </broker>
</beans>
`, b.dir, kaha, usage, limit, b.plugins(), b.Addr(), maxFrame, b.o.LinkStealing, check)
}

// plugins is the authentication plugin, when there are users.
func (b *Broker) plugins() string {
	if len(b.o.Users) == 0 {
		return ""
	}
	var w strings.Builder
	for _, login := range slices.Sorted(maps.Keys(b.o.Users)) {
		w.WriteString(`<authenticationUser groups="users" username="` + quoted(login) +
			`" password="` + quoted(b.o.Users[login]) + `"/>`)
	}
	return "<plugins><simpleAuthenticationPlugin><users>" + w.String() + "</users></simpleAuthenticationPlugin></plugins>"
}

func quoted(s string) string {
	var w strings.Builder
	_ = xml.EscapeText(&w, []byte(s)) // a strings.Builder takes everything
	return w.String()
}

// arguments of java: a small heap, quick to start rather than quick for long, and the doors that
// ActiveMQ 5.17 needs opened in Java 17.
func (b *Broker) arguments() []string {
	args := []string{
		"-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError",
		"-Djava.awt.headless=true", "-Djava.io.tmpdir=" + filepath.Join(b.dir, "tmp"),
		"--add-reads=java.xml=java.logging",
	}
	for _, p := range []string{
		"java.base/java.lang", "java.base/java.net", "java.base/java.security", "java.base/java.util",
		"java.base/java.util.concurrent", "java.base/java.util.concurrent.atomic",
		"java.naming/javax.naming.spi", "java.rmi/sun.rmi.transport.tcp",
	} {
		args = append(args, "--add-opens", p+"=ALL-UNNAMED")
	}
	conf := filepath.Join(b.dir, "conf")
	return append(args,
		"-Dactivemq.home="+home, "-Dactivemq.base="+b.dir, "-Dactivemq.conf="+conf,
		"-Dactivemq.data="+filepath.Join(b.dir, "data"),
		"-cp", strings.Join([]string{conf, home + "/bin/activemq.jar", home + "/lib/*", home + "/lib/optional/*"}, ":"),
		"org.apache.activemq.console.Main", "start", "xbean:file:"+filepath.Join(conf, "activemq.xml"))
}

// giveAway lets root's broker run as the package's own user; others run it as themselves.
func (b *Broker) giveAway(cmd *exec.Cmd) error {
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup(owner)
	if err != nil {
		return fmt.Errorf("finding the user that Debian's package makes: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return filepath.WalkDir(b.dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(uid), int(gid))
	})
}
