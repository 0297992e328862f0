// The programs of cert-manager in one binary, chosen by the name it is called by: without ACME, Vault and Venafi, whose
// issuers need other servers, and without election of a leader, as each of them runs once.
//
// It is compiled inside of cert-manager's module, because the programs use its internal packages.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	config "github.com/cert-manager/cert-manager/internal/apis/config/webhook"
	"github.com/cert-manager/cert-manager/internal/webhook"
	"github.com/cert-manager/cert-manager/pkg/api"
	"github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/cert-manager/cert-manager/pkg/controller/cainjector"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificate-shim/ingresses"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
	logf "github.com/cert-manager/cert-manager/pkg/logs"
)

// The number of workers of each controller: upstream's default.
const workers = 5

// The options that this program has. The chart sets more of them.
type options struct {
	namespace, secretNamespace, secretName string
	names                                  []string
	port                                   int32
}

func main() {
	var given options
	flags := pflag.NewFlagSet(os.Args[0], pflag.ExitOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.StringVar(&given.namespace, "cluster-resource-namespace", "cert-manager", "where Secrets of a ClusterIssuer are")
	flags.StringVar(&given.secretNamespace, "dynamic-serving-ca-secret-namespace", "", "of the Secret of the webhook's authority")
	flags.StringVar(&given.secretName, "dynamic-serving-ca-secret-name", "", "the Secret of the webhook's authority")
	flags.StringSliceVar(&given.names, "dynamic-serving-dns-names", nil, "names of the webhook's certificate")
	flags.Int32Var(&given.port, "secure-port", 10250, "the port of the webhook")
	_ = flags.Parse(os.Args[1:])

	log := logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, nil))
	ctrl.SetLogger(log)
	ctx := logf.NewContext(ctrl.SetupSignalHandler(), log)
	programs := map[string]func(context.Context, options) error{
		"controller": runController,
		"webhook":    runWebhook,
		"cainjector": runInjector,
	}
	name := filepath.Base(os.Args[0])
	program, known := programs[name]
	if !known {
		fmt.Fprintln(os.Stderr, "unknown program", name)
		os.Exit(2)
	}
	if err := program(ctx, given); err != nil {
		log.Error(err, "the program has failed")
		os.Exit(1)
	}
}

func runController(ctx context.Context, given options) error {
	factory, err := controller.NewContextFactory(ctx, controller.ContextOptions{
		KubernetesAPIQPS:   100,
		KubernetesAPIBurst: 200,
		IssuerOptions:      controller.IssuerOptions{ClusterResourceNamespace: given.namespace},
		CertificateOptions: controller.CertificateOptions{CopiedAnnotationPrefixes: []string{"*", "-kubectl.kubernetes.io/"}},
	})
	if err != nil {
		return err
	}
	shared, err := factory.Build()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for name, construct := range controller.Known() {
		one, err := construct(factory)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		group.Go(func() error { return one.Run(workers, ctx) })
	}
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	group.Go(func() error {
		return http.ListenAndServe(":9403", http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
			answer.WriteHeader(http.StatusOK)
		}))
	})
	return group.Wait()
}

func runWebhook(ctx context.Context, given options) error {
	settings := config.WebhookConfiguration{SecurePort: given.port, HealthzPort: 6080, MetricsListenAddress: "0"}
	settings.TLSConfig.Dynamic.SecretNamespace = given.secretNamespace
	settings.TLSConfig.Dynamic.SecretName = given.secretName
	settings.TLSConfig.Dynamic.DNSNames = given.names
	server, err := webhook.NewCertManagerWebhookServer(logr.FromContextOrDiscard(ctx), settings)
	if err != nil {
		return err
	}
	return server.Run(ctx)
}

func runInjector(ctx context.Context, _ options) error {
	all := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(all), api.AddToScheme(all)); err != nil {
		return err
	}
	manager, err := ctrl.NewManager(ctrl.GetConfigOrDie(), ctrl.Options{
		Scheme:  all,
		Metrics: metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		return err
	}
	kinds := cainjector.SetupOptions{EnabledReconcilersFor: map[string]bool{
		cainjector.MutatingWebhookConfigurationName:   true,
		cainjector.ValidatingWebhookConfigurationName: true,
	}}
	if err := cainjector.RegisterAllInjectors(ctx, manager, kinds); err != nil {
		return err
	}
	return manager.Start(ctx)
}
