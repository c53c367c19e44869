// CNIPluginKit
