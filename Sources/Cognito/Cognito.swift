// Cognito
